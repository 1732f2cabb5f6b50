/** udp-send.mjs FROM_ADDRESS FROM_PORT TO_ADDRESS TO_PORT: sends each line of standard input, hexadecimal, as a datagram. */
import { createSocket } from 'node:dgram';
import { createInterface } from 'node:readline';

const [fromAddress, fromPort, toAddress, toPort] = process.argv.slice(2);
const socket = createSocket('udp4');
await new Promise((resolve) => socket.bind(Number(fromPort), fromAddress, resolve));
for await (const line of createInterface(process.stdin)) {
  const payload = Buffer.from(line, 'hex');
  await new Promise((resolve, reject) => {
    socket.send(payload, Number(toPort), toAddress, (error) => (error ? reject(error) : resolve()));
  });
}
socket.close();
