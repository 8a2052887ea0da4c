import { existsSync, readFileSync } from 'node:fs';
import { systemClock } from '#base/clock.ts';
import { Node } from '#api/core/v1/node.ts';
import { Pod } from '#api/core/v1/pod.ts';
import { httpsClientFor } from './clients.ts';
import type { Flags } from './commands.ts';
import { dataDirFrom, livePid, readConfig, type DataDir } from './data-dir.ts';
import { localNodes } from './nodes.ts';

interface Report {
  readonly dataDir: string;
  /** `running`: the API server answers. `failing`: processes run, but it does not answer. */
  readonly state: 'absent' | 'stopped' | 'running' | 'failing';
  readonly server?: string;
  readonly kubeconfig?: string;
  readonly processes: Readonly<Record<string, { readonly pid: number; readonly memoryBytes: number }>>;
  readonly nodes: readonly { readonly name: string; readonly ready: boolean }[];
  readonly pods?: number;
  readonly problem?: string;
}

const answerMsMax = 5_000;

/** `windlass status`: 0 when the cluster runs, 3 (as LSB init scripts say) when it is stopped, 1 when something is wrong. */
export async function status(flags: Flags): Promise<number> {
  const dir = dataDirFrom(flags);
  const report = await look(dir);
  if (flags.text('output') === 'json') process.stdout.write(`${JSON.stringify(report, null, 2)}\n`);
  else process.stdout.write(asText(report));
  if (report.state === 'running') return report.nodes.every(node => node.ready) ? 0 : 1;
  return report.state === 'failing' ? 1 : 3;
}

async function look(dir: DataDir): Promise<Report> {
  const config = readConfig(dir);
  if (!config) return { dataDir: dir.path, state: 'absent', processes: {}, nodes: [] };
  const names = ['supervisor', 'control-plane', ...(config.nodes > 0 ? ['node-agent'] : [])];
  const processes = Object.fromEntries(
    names.flatMap(name => {
      const pid = livePid(dir, name);
      return pid === undefined ? [] : [[name, { pid, memoryBytes: residentBytes(pid) }]];
    }),
  );
  const server = `https://127.0.0.1:${config.port}`;
  const known = { dataDir: dir.path, server, kubeconfig: dir.kubeconfig, processes };
  if (Object.keys(processes).length === 0) return { ...known, state: 'stopped', nodes: [] };
  try {
    await using client = await httpsClientFor(dir.kubeconfig, systemClock);
    const signal = AbortSignal.timeout(answerMsMax);
    const nodes = await client.list(Node, { signal });
    const pods = await client.list(Pod, { signal, limit: 1 });
    const missing = localNodes(dir, config).filter(
      local => !nodes.items.some(node => node.metadata.name === local.name),
    );
    return {
      ...known,
      state: 'running',
      nodes: [
        ...nodes.items.map(node => ({ name: node.metadata.name ?? '', ready: isReady(node) })),
        ...missing.map(({ name }) => ({ name, ready: false })),
      ],
      pods: pods.items.length + (pods.metadata.remainingItemCount ?? 0),
    };
  } catch (error) {
    const problem = error instanceof Error ? error.message : String(error);
    return { ...known, state: 'failing', nodes: [], problem };
  }
}

function asText(report: Report): string {
  const { state, dataDir, processes, nodes } = report;
  if (state === 'absent') return `there is no cluster in ${dataDir}\n`;
  if (state === 'stopped') return `the cluster in ${dataDir} is stopped\n`;
  const lines = [
    state === 'running'
      ? `the cluster in ${dataDir} runs`
      : `the cluster in ${dataDir} does not answer: ${report.problem}`,
    `  server      ${report.server}`,
    `  kubeconfig  ${report.kubeconfig}`,
  ];
  for (const [name, { pid, memoryBytes }] of Object.entries(processes))
    lines.push(`  ${name.padEnd(14)} pid ${pid}, ${Math.round(memoryBytes / 1024 / 1024)} MB`);
  const shown = nodes.slice(0, 20).map(({ name, ready }) => `  node ${name}: ${ready ? 'Ready' : 'NotReady'}`);
  lines.push(...shown);
  if (nodes.length > shown.length) lines.push(`  and ${nodes.length - shown.length} more nodes`);
  if (report.pods !== undefined) lines.push(`  ${report.pods} pods`);
  return `${lines.join('\n')}\n`;
}

function isReady(node: Node): boolean {
  return node.status.conditions?.some(each => each.type === 'Ready' && each.status === 'True') ?? false;
}

function residentBytes(pid: number): number {
  const file = `/proc/${pid}/statm`;
  if (!existsSync(file)) return 0;
  const pages = Number(readFileSync(file, 'utf8').split(' ')[1]);
  return pages * 4096;
}
