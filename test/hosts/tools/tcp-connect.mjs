/** tcp-connect.mjs ADDRESS PORT: prints `connected`, or the error code of connect(2), and ends. */
import { connect } from 'node:net';

const [address, port] = process.argv.slice(2);
const socket = connect({ host: address, port: Number(port) });
socket.once('connect', () => {
  console.log('connected');
  socket.destroy();
});
socket.once('error', (error) => console.log(error.code));
