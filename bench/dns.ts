import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { freePort } from '../tools/ports.ts';
import type { Bench } from './benches.ts';
import { quantile, record, root, usageOf, type Row } from './harness.ts';

const run = promisify(execFile);
const seconds = 5;
const latencyRate = 20_000;

interface Measured {
  readonly perSecond: number;
  readonly perCoreSecond: number;
  readonly p99Ms: number;
  readonly lost: number;
}

/** Needs dnsperf; the peer is dnsmasq with the same names, when it is there. */
export const dns: Bench = {
  name: 'dns',
  measures: 'questions for names of 2,000 services answered on one core, beside dnsmasq in the same run',
  async run() {
    const folder = mkdtempSync(join(tmpdir(), 'windlass-bench-dns-'));
    try {
      const [questions, hosts] = [join(folder, 'questions'), join(folder, 'hosts')];
      const ours = await own(questions, hosts);
      const peer = existsSync('/usr/sbin/dnsmasq') ? await dnsmasq(questions, hosts) : undefined;
      const against = (of: (measured: Measured) => string) => (peer ? `dnsmasq ${of(peer)}` : 'dnsmasq is not there');
      const count = (value: number) => Math.round(value).toLocaleString('en');
      const rows: Row[] = [
        { what: 'questions a second', figure: count(ours.perSecond), against: against(each => count(each.perSecond)) },
        {
          what: 'questions a second of CPU',
          figure: count(ours.perCoreSecond),
          against: `goal ≥ 40,000; ${against(each => count(each.perCoreSecond))}`,
        },
        {
          what: `p99 at ${count(latencyRate)} a second`,
          figure: `${ours.p99Ms.toFixed(2)} ms`,
          against: `goal ≤ 5 ms; ${against(each => `${each.p99Ms.toFixed(2)} ms`)}`,
        },
        { what: 'lost', figure: String(ours.lost), against: against(each => String(each.lost)) },
        ...(peer ? [{ what: 'ratio, a second', figure: (ours.perSecond / peer.perSecond).toFixed(2) }] : []),
      ];
      await record('dns', rows);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  },
};

async function own(questions: string, hosts: string): Promise<Measured> {
  const script = join(root, 'bench', 'dns-server.ts');
  const flags = ['--experimental-ffi', '--disable-warning=ExperimentalWarning'];
  const server = spawn(process.execPath, [...flags, script, questions, hosts], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  try {
    const [port] = (await once(server.stdout, 'data')) as [Buffer];
    return await measure(server, Number(port.toString()), questions);
  } finally {
    await end(server);
  }
}

async function dnsmasq(questions: string, hosts: string): Promise<Measured> {
  const port = await freePort();
  const options = [`--port=${port}`, `--addn-hosts=${hosts}`, '--local=/cluster.local/', '--listen-address=127.0.0.1'];
  const fixed = ['--keep-in-foreground', '--no-hosts', '--no-resolv', '--bind-interfaces', '--conf-file=/dev/null'];
  const server = spawn('/usr/sbin/dnsmasq', [...fixed, ...options, '--user=root', '--pid-file='], { stdio: 'ignore' });
  try {
    for (let tries = 0; !(await answers(port)); tries++) if (tries > 50) throw new Error('dnsmasq does not answer');
    return await measure(server, port, questions);
  } finally {
    await end(server);
  }
}

async function answers(port: number): Promise<boolean> {
  const { createSocket } = await import('node:dgram');
  const socket = createSocket('udp4');
  socket.on('error', () => undefined);
  const question = Buffer.from('00010100000100000000000009736572766963652d300764656661756c7403737663', 'hex');
  socket.send(
    Buffer.concat([question, Buffer.from('07636c7573746572056c6f63616c0000010001', 'hex')]),
    port,
    '127.0.0.1',
  );
  const told = await Promise.race([
    once(socket, 'message').then(() => true),
    new Promise<boolean>(resolve => setTimeout(resolve, 100, false)),
  ]);
  socket.close();
  return told;
}

async function measure(server: ChildProcess, port: number, questions: string): Promise<Measured> {
  const pid = server.pid ?? 0;
  const common = ['-s', '127.0.0.1', '-p', String(port), '-d', questions, '-c', '4', '-q', '100'];
  // Once to be warm.
  await run('dnsperf', [...common, '-l', '1']);
  const before = usageOf(pid).cpuMs;
  const { stdout } = await run('dnsperf', [...common, '-l', String(seconds)]);
  const usedMs = usageOf(pid).cpuMs - before;
  const figure = (label: string) => Number(new RegExp(`${label}:\\s+([\\d.]+)`).exec(stdout)?.[1]);
  const each = await run('dnsperf', [...common, '-l', '3', '-Q', String(latencyRate), '-v'], { maxBuffer: 1 << 28 });
  const latencies = Array.from(each.stdout.matchAll(/^> \S+ \S+ \S+ ([\d.]+)$/gm), ([, took]) => Number(took) * 1000);
  return {
    perSecond: figure('Queries per second'),
    perCoreSecond: (figure('Queries completed') * 1000) / usedMs,
    p99Ms: quantile(latencies, 0.99),
    lost: figure('Queries lost'),
  };
}

async function end(server: ChildProcess): Promise<void> {
  if (server.exitCode !== null) return;
  const ended = once(server, 'exit');
  server.kill('SIGTERM');
  await ended;
}
