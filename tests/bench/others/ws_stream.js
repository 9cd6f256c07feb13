// The same stream as link_stream's by Node's ws: ws_stream.js COUNT BYTES URL [CA-FILE]
"use strict";
const WebSocket = require("ws");
const [count, bytes] = process.argv.slice(2, 4).map(Number);
const ca = process.argv[5] ? require("fs").readFileSync(process.argv[5]) : undefined;
const socket = new WebSocket(process.argv[4], ["charter.v1"], { perMessageDeflate: false, ca });
const text = "x".repeat(bytes);
let left = count, cpu, wall;
// A megabyte may stand in its buffers; then the event loop has its turn.
const send = () => {
  while (left > 0 && socket.bufferedAmount < 1 << 20) {
    left--;
    if (left % 1000 === 0) socket.send(text, left === 0 ? () => socket.close(1000) : undefined);
    else socket.send(text);
  }
  if (left > 0) setImmediate(send);
};
socket.on("open", () => { cpu = process.cpuUsage(); wall = process.hrtime.bigint(); send(); });
socket.on("error", (error) => { console.error(`ws_stream: ${error}`); process.exit(1); });
socket.on("close", () => {
  const used = process.cpuUsage(cpu);
  console.log(used.user + used.system, Number(process.hrtime.bigint() - wall) / 1e3);
});
