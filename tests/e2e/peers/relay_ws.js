// A WebSocket server on Node's ws whose behaviour is told to it line by line; see relay.py.
"use strict";
const { WebSocketServer } = require("ws");
const maxPayload = Number(process.argv[2]);
const server = new WebSocketServer({
  host: "127.0.0.1", port: 0, maxPayload, perMessageDeflate: true,
  handleProtocols: (protocols) => (protocols.has("charter.v1") ? "charter.v1" : false),
});
const say = (what) => process.stdout.write(JSON.stringify(what) + "\n");
let current = null;
server.on("listening", () => say({ type: "listening", port: server.address().port }));
server.on("connection", (socket, request) => {
  current = socket;
  say({ type: "open", protocol: socket.protocol, path: request.url, extensions: socket.extensions });
  socket.on("message", (data, binary) => say({ type: binary ? "binary" : "text", data: data.toString() }));
  socket.on("ping", (data) => say({ type: "ping", data: data.toString() }));
  socket.on("pong", (data) => say({ type: "pong", data: data.toString() }));
  socket.on("error", (error) => say({ type: "error", data: String(error) }));
  socket.on("close", (code, reason) => say({ type: "close", code, reason: reason.toString() }));
});
const act = {
  text: ({ data }) => current.send(data),
  fragments: ({ pieces }) => pieces.forEach((piece, i) => current.send(piece, { fin: i === pieces.length - 1 })),
  ping: ({ data }) => current.ping(data),
  close: ({ code, reason }) => current.close(code, reason),
  drop: () => current.terminate(),
};
require("readline").createInterface({ input: process.stdin })
  .on("line", (line) => { const what = JSON.parse(line); act[what.do](what); })
  .on("close", () => process.exit(0));
