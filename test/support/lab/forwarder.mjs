// Run inside a namespace: accepts TCP on a port and pipes each connection to a Unix socket.
// node forwarder.mjs PORT SOCKET; prints "listening" when it is. Ends with its standard input.
import { connect, createServer } from 'node:net';

const [, , port, socket] = process.argv;

const server = createServer((client) => {
  const upstream = connect(socket);
  client.pipe(upstream).pipe(client);
  client.on('error', () => upstream.destroy());
  upstream.on('error', () => client.destroy());
});
server.listen(Number(port), () => process.stdout.write('listening\n'));
process.stdin.on('end', () => process.exit(0)).resume();
