// A voice agent for Trunkline in one file: greets, repeats what it hears, is interrupted by 0, hangs up at 9.
//
//   npm install ws          (Node 18 or newer; in this directory or above it)
//   TRUNKLINE_AGENT_SECRET=agsec_... node examples/agent.mjs 8766
//
// Without the secret it lets in anybody. The protocol: docs/agent-protocol.md; the token: docs/agent-token.md.
import { createHmac, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";
import { WebSocketServer } from "ws";

const secret = process.env.TRUNKLINE_AGENT_SECRET;
const greeting = Buffer.alloc(16_000); // 1 s of L16, 8 kHz
for (let i = 0; i < 8000; i++) greeting.writeInt16LE(Math.round(8000 * Math.sin((i * 2 * Math.PI * 440) / 8000)), 2 * i);
const seen = new Map(); // tokens that were used, and until when they are good

// Whether they bring a token of ours that is new and for this attempt.
function welcome(headers) {
  if (!secret) return true;
  const token = (headers.authorization ?? "").replace(/^Bearer /, "");
  const signed = token.slice(0, Math.max(0, token.lastIndexOf(".")));
  const signature = Buffer.from(token.slice(signed.length + 1));
  const mac = Buffer.from(createHmac("sha256", secret).update(signed).digest("base64url"));
  if (mac.length !== signature.length || !timingSafeEqual(mac, signature)) return false;
  const claims = JSON.parse(Buffer.from(signed.split(".")[1], "base64url"));
  const now = Date.now() / 1000;
  if (now < claims.iat - 30 || now >= claims.exp + 30 || claims.attempt !== headers["x-trunkline-attempt"]) return false;
  for (const [jti, until] of seen) if (until < now) seen.delete(jti);
  if (seen.has(claims.jti)) return false;
  seen.set(claims.jti, claims.exp + 30);
  return true;
}

function talk(socket) {
  let heard = [];
  const say = (event) => socket.send(JSON.stringify(event));
  socket.on("error", (error) => console.log(error.message));
  socket.on("message", (data, isBinary) => {
    if (isBinary) {
      heard.push(data); // 20 ms of the callee
      if (heard.length >= 100) {
        socket.send(Buffer.concat(heard));
        heard = [];
      }
      return;
    }
    const event = JSON.parse(data);
    if (event.event === "start") {
      console.log("call", event.call.id, "variables", event.call.variables);
      say({ event: "ready" });
      if (!event.resumed) socket.send(greeting); // played when somebody picks up
    } else if (event.event === "dtmf" && event.digit === "0") say({ event: "clear" });
    else if (event.event === "dtmf" && event.digit === "9") say({ event: "hangup", after_playback: true });
    else if (event.event === "error" || event.event === "stop") console.log(event);
  });
}

const sockets = new WebSocketServer({ noServer: true, maxPayload: 1 << 20 });
const server = createServer((_, response) => response.writeHead(426).end());
server.on("upgrade", (request, socket, head) => {
  if (!welcome(request.headers)) return socket.end("HTTP/1.1 401 Unauthorized\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
  sockets.handleUpgrade(request, socket, head, talk);
});
server.listen(Number(process.argv[2] ?? 8766), "127.0.0.1", () => console.log(`listening on ws://127.0.0.1:${server.address().port}/`));
