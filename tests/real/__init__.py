"""Many calls at once through SIP carriers with limits, judged by what the carriers' sockets received.

    python -m tests.real                       # 500 calls at 30 a second, on the simulated switch
    python -m tests.real --loss 0.02           # and 2 % of the SIP datagrams lost each way

With FREESWITCH_ESL and FREESWITCH_PASSWORD on a real FreeSWITCH: docs/real-freeswitch.md.
"""
