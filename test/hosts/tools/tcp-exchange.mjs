/**
 * Sends a file and receives one over a single TCP connection, both at the same time.
 *   tcp-exchange.mjs listen PORT SEND RECEIVE | tcp-exchange.mjs connect ADDRESS PORT SEND RECEIVE
 */
import { createReadStream, createWriteStream } from 'node:fs';
import { connect, createServer } from 'node:net';
import { pipeline } from 'node:stream/promises';

const [role, ...rest] = process.argv.slice(2);

async function exchange(socket, sendPath, receivePath) {
  await Promise.all([
    pipeline(createReadStream(sendPath), socket, { end: true }),
    pipeline(socket, createWriteStream(receivePath)),
  ]);
}

if (role === 'listen') {
  const [port, sendPath, receivePath] = rest;
  const server = createServer({ allowHalfOpen: true }, async (socket) => {
    server.close();
    await exchange(socket, sendPath, receivePath);
  });
  server.listen(Number(port), () => console.log('listening'));
} else {
  const [address, port, sendPath, receivePath] = rest;
  await exchange(connect({ host: address, port: Number(port), allowHalfOpen: true }), sendPath, receivePath);
}
