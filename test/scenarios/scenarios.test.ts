import { execFileSync } from 'node:child_process';
import { globSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { realContainers, startScenarioCluster, type ScenarioCluster } from './cluster.ts';
import { readTranscript, runExchange } from './transcript.ts';

const folder = import.meta.dirname;
const root = join(folder, '..', '..');

describe('transcripts against a cluster with real containers', { skip: realContainers }, () => {
  let cluster: ScenarioCluster;
  before(async () => {
    cluster = await startScenarioCluster();
  });
  after(async () => {
    await cluster?.[Symbol.asyncDispose]();
  });

  for (const file of globSync('*.txt', { cwd: folder }).toSorted()) {
    const name = file.replace('.txt', '');
    test(name, async t => {
      const namespace = `scenario-${name}`;
      // Each transcript has a namespace of its own, which its kubeconfig stands in.
      const kubeconfig = join(cluster.dataDir, `kubeconfig-${name}`);
      writeFileSync(kubeconfig, readFileSync(cluster.kubeconfig), { mode: 0o600 });
      const env = { ...cluster.env, KUBECONFIG: kubeconfig, NS: namespace };
      const kubectl = (...args: string[]) => execFileSync('kubectl', args, { env: { ...process.env, ...env } });
      kubectl('create', 'namespace', namespace);
      kubectl('config', 'set-context', '--current', `--namespace=${namespace}`);
      try {
        for (const exchange of readTranscript(join(folder, file)))
          await t.test(`${exchange.line}: ${exchange.command.split('\n')[0]?.slice(0, 100)}`, () =>
            runExchange(exchange, { env, cwd: root }),
          );
      } finally {
        kubectl('delete', 'namespace', namespace, '--wait=false');
        rmSync(kubeconfig, { force: true });
      }
    });
  }
});
