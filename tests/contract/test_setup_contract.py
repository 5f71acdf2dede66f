"""What a check-up asks a switch, alike on the simulated one and on a real FreeSWITCH that runs freeswitch/conf."""

from __future__ import annotations

import time
from collections.abc import Callable

from controller import commands, doctor_commands
from controller.esl_wire import Command
from controller.relay.permission import question
from trunkline.doctor import switch, trunks
from trunkline.doctor.finding import Level

from .world import World


def test_it_says_how_it_is_set_up(run: Callable[..., None]) -> None:
    async def body(world: World) -> None:
        async def ask(command: Command) -> str:
            return await world.esl.api(command.wire.decode().strip().removeprefix("api "))

        loaded = {name: await ask(doctor_commands.module_exists(name)) for name in (*switch.NEEDED, *switch.UNWANTED)}
        assert {name for name, said in loaded.items() if said == "true"} == set(switch.NEEDED)
        assert set(loaded.values()) == {"true", "false"}

        assert abs(int(await ask(doctor_commands.epoch())) - time.time()) < 60

        assert await ask(doctor_commands.acl("127.0.0.1", "carriers")) == "true"
        assert await ask(doctor_commands.acl(trunks.STRANGER, "carriers")) == "false"
        assert await ask(doctor_commands.acl("127.0.0.1", "no_such_list")) == "false"

        assert (await ask(doctor_commands.profile_status("nobody"))).strip() == "Invalid Profile!"
        profile = await ask(doctor_commands.profile_status("carriers"))
        assert [one.level for one in trunks.judge_profile("switch", profile, ["127.0.0.1"])] == [Level.OK]
        assert [one.level for one in trunks.judge_profile("switch", profile, ["8.8.8.8"])] == [Level.FAIL, Level.FAIL]

        assert [one.level for one in switch.judge_limits("switch", await ask(commands.status()), 100, 50)] == [Level.OK]
        idle = await ask(commands.global_getvar("send_silence_when_idle"))
        assert [one.level for one in switch.judge_idle("switch", idle)] == [Level.OK]
        voice = await ask(question("/dev/shm/trunkline"))
        assert [one.level for one in switch.judge_voice("switch", voice)] == [Level.OK]
        assert len(switch.judge_limits("switch", await ask(commands.status()), 1_000_000, 1_000_000)) == 2

    run(body)
