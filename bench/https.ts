import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { get } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { issue, issueAuthority } from '../src/auth/certificates/issue.ts';
import { systemClock } from '../src/base/clock.ts';
import { systemRandom } from '../src/base/random.ts';
import { installPackages } from '../src/cluster/packages.ts';
import { freePort } from '../tools/ports.ts';
import type { Bench } from './benches.ts';
import { controlPlaneOnly, record, startBenchCluster, usageOf, type Row } from './harness.ts';
import { megabytes, milliseconds } from './load.ts';

const run = promisify(execFile);
const requests = 30_000;
const path = '/api/v1/namespaces/default';
const programs = [
  { command: 'h2load', debian: 'nghttp2-client' },
  { command: 'nginx', debian: 'nginx-light' },
];

interface Answered {
  readonly perSecond: number;
  readonly meanMs: string;
  readonly cpuMs: number;
  readonly residentBytes: number;
}

export const https: Bench = {
  name: 'https',
  measures: 'reads of one object over HTTP/2 and TLS, beside nginx on one core with the same bytes as a file',
  async run() {
    const lacking = installPackages(programs);
    if (lacking !== undefined) return void process.stdout.write(`skipped: ${lacking}\n`);
    const { ours, body } = await answered();
    const peer = await answeredByNginx(body);
    const figure = ({ perSecond, meanMs, cpuMs, residentBytes }: Answered) =>
      `${Math.round(perSecond).toLocaleString('en')}/s mean=${meanMs} cpu/op=${milliseconds(cpuMs / requests)} rss=${megabytes(residentBytes)}`;
    const rows: Row[] = [
      {
        what: `a Namespace of ${body.length} bytes, 8 connections, 8 at once on each`,
        figure: figure(ours),
        against: `nginx ${figure(peer)}`,
      },
      { what: 'ratio, requests a second', figure: (ours.perSecond / peer.perSecond).toFixed(2) },
      { what: 'ratio, CPU', figure: (ours.cpuMs / peer.cpuMs).toFixed(2) },
    ];
    await record('https', rows);
  },
};

async function answered(): Promise<{ ours: Answered; body: string }> {
  await using cluster = await startBenchCluster(...controlPlaneOnly);
  const token = await cluster.token();
  const pid = cluster.pids()['control-plane'] ?? 0;
  const ours = await h2load(pid, `${cluster.server}${path}`, token);
  return { ours, body: await cluster.kubectl('get', '--raw', path) };
}

async function answeredByNginx(body: string): Promise<Answered> {
  const folder = mkdtempSync(join(tmpdir(), 'windlass-bench-nginx-'));
  const port = await freePort();
  const issuing = { clock: systemClock, random: systemRandom };
  const validForMs = 24 * 60 * 60_000;
  const authority = await issueAuthority({ commonName: 'bench', validForMs }, issuing);
  const ips = ['127.0.0.1'];
  const { certPem, keyPem } = await issue(
    authority,
    { commonName: 'nginx', ips, usages: ['server'], validForMs },
    issuing,
  );
  const file = (name: string, content: string) => {
    writeFileSync(join(folder, name), content);
    return join(folder, name);
  };
  const configuration = `
user root;
daemon off;
master_process off;
worker_processes 1;
pid ${folder}/pid;
error_log ${folder}/error.log;
events { worker_connections 1024; }
http {
  access_log off;
  keepalive_requests 1000000;
  default_type application/json;
  client_body_temp_path ${folder}/body;
  server {
    listen 127.0.0.1:${port} ssl http2;
    ssl_certificate ${file('cert', certPem)};
    ssl_certificate_key ${file('key', keyPem)};
    location / { alias ${file('answer', body)}; }
    location = ${path} { alias ${folder}/answer; }
  }
}
`;
  const nginx = spawn(
    'nginx',
    ['-c', file('nginx.conf', configuration), '-p', folder, '-e', join(folder, 'error.log')],
    {
      stdio: ['ignore', 'inherit', 'inherit'],
    },
  );
  try {
    const url = `https://127.0.0.1:${port}${path}`;
    for (let tries = 0; !(await answers(url)); tries++) {
      if (tries > 50 || nginx.exitCode !== null) throw new Error('nginx does not answer');
      await sleep(50);
    }
    return await h2load(nginx.pid ?? 0, url);
  } finally {
    if (nginx.exitCode === null) {
      const ended = once(nginx, 'exit');
      nginx.kill('SIGTERM');
      await ended;
    }
    rmSync(folder, { recursive: true, force: true });
  }
}

function answers(url: string): Promise<boolean> {
  return new Promise(resolve => {
    get(url, { rejectUnauthorized: false }, answer => {
      answer.resume();
      resolve(answer.statusCode === 200);
    }).on('error', () => resolve(false));
  });
}

async function h2load(pid: number, url: string, token?: string): Promise<Answered> {
  const header = token === undefined ? [] : ['-H', `authorization: Bearer ${token}`];
  const args = (count: number) => ['-n', String(count), '-c', '8', '-m', '8', ...header, url];
  // Once to be warm.
  await run('h2load', args(5_000));
  const before = usageOf(pid).cpuMs;
  const { stdout } = await run('h2load', args(requests));
  const after = usageOf(pid);
  const succeeded = Number(/(\d+) succeeded/.exec(stdout)?.[1]);
  const codes = Number(/status codes: (\d+) 2xx/.exec(stdout)?.[1]);
  if (succeeded !== requests || codes !== requests) throw new Error(`not every request was answered:\n${stdout}`);
  return {
    perSecond: Number(/([\d.]+) req\/s/.exec(stdout)?.[1]),
    meanMs: /time for request:\s+\S+\s+\S+\s+(\S+)/.exec(stdout)?.[1] ?? '',
    cpuMs: after.cpuMs - before,
    residentBytes: after.residentBytes,
  };
}
