/**
 * Several TCP connections at once, each with noise of its own written in pieces of mixed sizes. Both ends print the
 * SHA-256 of every stream, sorted.
 *   tcp-streams.mjs listen PORT STREAMS | tcp-streams.mjs connect ADDRESS PORT STREAMS BYTES_EACH
 */
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';

/** Single bytes, around one segment, around one super-packet. */
const PIECE_BYTES = [1, 7, 1419, 1420, 1421, 64, 4000, 65_535, 100_000, 536, 30_001];

const [role, ...rest] = process.argv.slice(2);

function print(digests) {
  console.log(JSON.stringify(digests.sort()));
}

function listen(port, streams) {
  const digests = [];
  const server = createServer((socket) => {
    const hash = createHash('sha256');
    socket.on('data', (piece) => hash.update(piece));
    socket.on('end', () => {
      if (digests.push(hash.digest('hex')) < streams) return;
      server.close();
      print(digests);
    });
  });
  server.listen(port, () => console.log('listening'));
}

async function send(address, port, stream, bytes) {
  const socket = connect(port, address).setNoDelay(stream % 2 === 1);
  await once(socket, 'connect');
  const noise = randomBytes(bytes);
  for (let at = 0, turn = stream; at < bytes; turn++) {
    const piece = noise.subarray(at, at + PIECE_BYTES[turn % PIECE_BYTES.length]);
    if (!socket.write(piece)) await once(socket, 'drain');
    at += piece.length;
  }
  socket.end();
  await once(socket.resume(), 'close');
  return createHash('sha256').update(noise).digest('hex');
}

if (role === 'listen') {
  listen(Number(rest[0]), Number(rest[1]));
} else {
  const [address, port, streams, bytes] = [rest[0], ...rest.slice(1).map(Number)];
  print(await Promise.all(Array.from({ length: streams }, (_, i) => send(address, port, i, bytes))));
}
