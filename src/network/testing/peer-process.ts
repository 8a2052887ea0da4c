import { createSocket } from 'node:dgram';
import { createServer, connect } from 'node:net';
import { systemClock } from '#base/clock.ts';

// A process in a network namespace of a test: it listens where it is told, answering with its name and the address it
// sees, and calls others.

export type PeerCall =
  | { readonly do: 'listen'; readonly protocol: 'tcp' | 'udp'; readonly port: number; readonly host?: string }
  | {
      readonly do: 'call';
      readonly protocol: 'tcp' | 'udp';
      readonly host: string;
      readonly port: number;
      readonly localPort?: number;
      readonly timeoutMs: number;
    };

const name = process.argv[2] ?? '';

process.on('message', ({ id, call }: { id: number; call: PeerCall }) => {
  const answer = (text: string) => process.send?.({ id, text });
  if (call.do === 'listen') listen(call, answer);
  else if (call.protocol === 'tcp') callTcp(call, answer);
  else callUdp(call, answer);
});

function listen({ protocol, port, host }: Extract<PeerCall, { do: 'listen' }>, answer: (text: string) => void): void {
  if (protocol === 'tcp') {
    const server = createServer(socket => {
      socket.on('error', () => undefined);
      socket.end(`${name} ${bare(socket.remoteAddress ?? '')}`);
    });
    server.listen(port, host ?? '::', () => answer('listening'));
    server.on('error', error => answer(`cannot listen: ${error.message}`));
  } else {
    const socket = createSocket({ type: host?.includes('.') ? 'udp4' : 'udp6' });
    socket.on('message', (_, from) => socket.send(`${name} ${bare(from.address)}`, from.port, from.address));
    socket.bind(port, host, () => answer('listening'));
    socket.on('error', error => answer(`cannot listen: ${error.message}`));
  }
}

type Call = Extract<PeerCall, { do: 'call' }>;

function callTcp({ host, port, timeoutMs }: Call, answer: (text: string) => void): void {
  let text = '';
  const socket = connect({ host, port });
  socket.setTimeout(timeoutMs, () => {
    answer('timeout');
    socket.destroy();
  });
  socket.on('data', part => {
    text += part.toString();
  });
  socket.on('end', () => answer(text));
  socket.on('error', error => answer('code' in error ? String(error.code) : error.message));
}

function callUdp({ host, port, localPort, timeoutMs }: Call, answer: (text: string) => void): void {
  const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4');
  const finish = (text: string) => {
    cancel();
    socket.close();
    answer(text);
  };
  const cancel = systemClock.after(timeoutMs, () => finish('timeout'));
  socket.on('message', message => finish(message.toString()));
  socket.on('error', error => finish('code' in error ? String(error.code) : error.message));
  socket.bind(localPort ?? 0, () => {
    socket.connect(port, host, () => socket.send('?'));
  });
}

/** An IPv4 peer of a dual-stack socket in its own form. */
function bare(address: string): string {
  return address.replace(/^::ffff:/, '');
}

process.on('disconnect', () => process.exit(0));
process.send?.({ id: 0, text: 'ready' });
