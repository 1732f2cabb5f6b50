/**
 * Numbered datagrams that have to arrive, each once and in order, and a flood of which nobody expects anything.
 *   udp-stream.mjs receive PORT COUNT                 prints {"received":N,"outOfOrder":N} once all have come
 *   udp-stream.mjs send ADDRESS PORT COUNT SIZE       never has more than a window on its way; status 1 if it stalls
 *   udp-stream.mjs flood ADDRESS PORT PER_MILLISECOND until it is stopped
 */
import { createSocket } from 'node:dgram';

/** Few enough for any receive buffer: what is missing was lost on its way. */
const WINDOW = 64;
const STALLED_AFTER_MS = 5_000;

const [role, ...rest] = process.argv.slice(2);

function receive(port, count) {
  const socket = createSocket('udp4');
  let received = 0;
  let outOfOrder = 0;
  socket.on('message', (message, from) => {
    if (message.readUInt32BE(0) !== received) outOfOrder++;
    received++;
    if (received % WINDOW !== 0 && received !== count) return;
    const acknowledgement = Buffer.alloc(4);
    acknowledgement.writeUInt32BE(received);
    socket.send(acknowledgement, from.port, from.address, () => {
      if (received === count) socket.close();
    });
    if (received === count) console.log(JSON.stringify({ received, outOfOrder }));
  });
  socket.bind(port, () => console.log('listening'));
}

async function connected(address, port) {
  const socket = createSocket('udp4');
  await new Promise((resolve) => socket.connect(port, address, resolve));
  return socket;
}

async function send(address, port, count, size) {
  const socket = await connected(address, port);
  for (let next = 0; next < count; ) {
    const acknowledged = new Promise((resolve) =>
      socket.once('message', (message) => resolve(message.readUInt32BE(0))),
    );
    const end = Math.min(next + WINDOW, count);
    for (; next < end; next++) {
      const datagram = Buffer.alloc(size);
      datagram.writeUInt32BE(next);
      socket.send(datagram);
    }
    const timer = setTimeout(() => {
      console.error(`datagrams ${end - WINDOW} to ${end - 1}: no acknowledgement`);
      process.exit(1);
    }, STALLED_AFTER_MS);
    if ((await acknowledged) !== end) throw new Error(`an acknowledgement that is not of ${end}`);
    clearTimeout(timer);
  }
  socket.close();
  console.log(JSON.stringify({ sent: count }));
}

async function flood(address, port, perMillisecond) {
  // Unconnected: ICMP errors must not stop the flood itself.
  const socket = createSocket('udp4');
  const datagram = Buffer.alloc(200);
  setInterval(() => {
    for (let i = 0; i < perMillisecond; i++) socket.send(datagram, port, address, () => {});
  }, 1);
  console.log('flooding');
}

if (role === 'receive') receive(Number(rest[0]), Number(rest[1]));
else if (role === 'send') await send(rest[0], ...rest.slice(1).map(Number));
else await flood(rest[0], ...rest.slice(1).map(Number));
