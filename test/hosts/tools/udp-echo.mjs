/**
 *   udp-echo.mjs serve PORT                     sends every datagram back
 *   udp-echo.mjs check ADDRESS PORT SIZE...     sends one payload of each size (N or FIRST-LAST), waits for its echo;
 *                                               prints {"checked":N,"resent":N}; status 1 at the first difference
 */
import { createHash } from 'node:crypto';
import { createSocket } from 'node:dgram';

const RESEND_AFTER_MS = 500;
const MOST_SENDS = 10;

const [role, ...rest] = process.argv.slice(2);

/** Noise that differs for every size, the same on every run. */
function payloadOf(size) {
  return createHash('shake256', { outputLength: Math.max(size, 1) })
    .update(`size ${size}`)
    .digest()
    .subarray(0, size);
}

function sizesOf(words) {
  return words.flatMap((word) => {
    const [first, last = first] = word.split('-').map(Number);
    return Array.from({ length: last - first + 1 }, (_, i) => first + i);
  });
}

function serve(port) {
  const socket = createSocket('udp4');
  socket.on('message', (message, from) => socket.send(message, from.port, from.address));
  socket.bind(port, () => console.log('listening'));
}

async function check(address, port, sizes) {
  const socket = createSocket('udp4');
  await new Promise((resolve) => socket.connect(port, address, resolve));
  let resent = 0;
  for (const size of sizes) resent += await roundTrip(socket, payloadOf(size));
  socket.close();
  console.log(JSON.stringify({ checked: sizes.length, resent }));
}

/** @returns how often the payload had to be sent again. */
function roundTrip(socket, payload) {
  return new Promise((resolve, reject) => {
    let sends = 0;
    const send = () => {
      if (sends++ === MOST_SENDS) reject(new Error(`no echo of ${payload.length} bytes after ${MOST_SENDS} sends`));
      else socket.send(payload);
    };
    const timer = setInterval(send, RESEND_AFTER_MS);
    const onMessage = (echo) => {
      // A late echo of the size before this one.
      if (echo.length !== payload.length && sends > 1) return;
      clearInterval(timer);
      socket.off('message', onMessage);
      if (echo.equals(payload)) resolve(sends - 1);
      else reject(new Error(`${payload.length} bytes came back as ${echo.length} other bytes`));
    };
    socket.on('message', onMessage);
    send();
  });
}

if (role === 'serve') serve(Number(rest[0]));
else await check(rest[0], Number(rest[1]), sizesOf(rest.slice(2)));
