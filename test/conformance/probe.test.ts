/**
 * The API server's answers against those of kube-apiserver: the differential probe beside the project. What may differ
 * stands in probe-differences.md.
 */
import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { gunzipSync } from 'node:zlib';
import { ServiceAccount } from '#api/core/v1/service-account.ts';
import { ClusterRoleBinding } from '#api/rbac/v1/cluster-role-binding.ts';
import type { Client } from '#client/client.ts';
import { startCluster } from '../../src/windlass.ts';

const probe = join(import.meta.dirname, '../../../shared/probe');
const golden = join(probe, 'golden-1.20.2.json.gz');

const skip = !existsSync(golden)
  ? `no recorded answers in ${probe}`
  : spawnSync('python3', ['--version']).status !== 0
    ? 'no python3, which runs the probe'
    : false;

/** What a server said to one request. */
interface Answer {
  readonly code: number;
  readonly reason?: string | null;
  /** Field and reason. */
  readonly causes?: readonly (readonly [string, string])[];
  readonly message?: string;
  /** For accepted requests with an unspoiled object: the object. */
  readonly object?: unknown;
}

type Answers = Readonly<Record<string, Answer>>;

/** Of all requests; what the tables allow is the rest. */
const agreementMin = 0.983;

test('answers agree with those of kube-apiserver', { skip, timeout: 60_000 }, async () => {
  const wanted = JSON.parse(gunzipSync(readFileSync(golden)).toString()) as Answers;
  const answers = await ask();
  const names = Object.keys(wanted);
  assert.deepEqual(Object.keys(answers).toSorted(), names.toSorted(), 'the probe and its recording are not of one age');
  assert.deepEqual(
    names.filter(name => (answers[name]?.code ?? 0) >= 500 || answers[name]?.code === 0),
    [],
    'no request may end in a server error',
  );

  const differing = names.flatMap(name => {
    const found = differences(wanted[name] as Answer, answers[name] as Answer);
    return found.length === 0 ? [] : [{ name, found: found.map(at => `${name}${at}`) }];
  });
  const allowed = allowedDifferences();
  const all = differing.flatMap(({ found }) => found);
  const strange = all.filter(each => !allowed.some(pattern => pattern.test(each)));
  assert.deepEqual(
    strange.map(each => ({ each, wanted: wanted[each], got: answers[each] })),
    [],
    'these answers differ and are in no table of probe-differences.md',
  );
  assert.deepEqual(
    allowed.filter(pattern => !all.some(each => pattern.test(each))),
    [],
    'these rows of probe-differences.md happen no more',
  );
  const agreement = 1 - differing.length / names.length;
  assert.ok(agreement >= agreementMin, `${(100 * agreement).toFixed(2)} % agree`);
});

/** The answers of a cluster in this process. */
async function ask(): Promise<Answers> {
  await using cluster = await startCluster({ nodes: 0 });
  const token = await tokenOf(cluster.client);
  const folder = mkdtempSync(join(tmpdir(), 'windlass-probe-'));
  try {
    const file = join(folder, 'answers.json');
    const script = join(probe, 'probe.py');
    await promisify(execFile)('python3', ['-B', script, 'record', cluster.server, token, file], { timeout: 50_000 });
    return JSON.parse(readFileSync(file, 'utf8')) as Answers;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** A token that may do everything; the pods of the probe's namespace get none mounted, as when it was recorded. */
async function tokenOf(client: Client): Promise<string> {
  const namespace = 'default';
  const name = 'default';
  // As soon as the controller has made the account.
  const options = { namespace, fieldSelector: `metadata.name=${name}`, timeoutSeconds: 20 };
  for await (const { type } of client.watch(ServiceAccount, options)) {
    if (type !== 'ADDED') continue;
    const patch = { automountServiceAccountToken: false };
    await client.patch(ServiceAccount, name, { type: 'merge', patch }, { namespace });
    break;
  }
  await client.create(ServiceAccount, { metadata: { name: 'probe', namespace: 'kube-system' } });
  await client.create(ClusterRoleBinding, {
    metadata: { name: 'probe' },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'cluster-admin' },
    subjects: [{ kind: 'ServiceAccount', name: 'probe', namespace: 'kube-system' }],
  });
  const { status } = await client.createSubresource<object, { readonly status: { readonly token: string } }>(
    ServiceAccount,
    'probe',
    'token',
    { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: { expirationSeconds: 3600 } },
    { namespace: 'kube-system' },
  );
  return status.token;
}

/** Where two answers differ: at '' when code, reason or causes do, else at fields of the object. */
function differences(wanted: Answer, got: Answer): string[] {
  const isSame =
    wanted.code === got.code &&
    (wanted.reason ?? null) === (got.reason ?? null) &&
    JSON.stringify(wanted.causes ?? []) === JSON.stringify(got.causes ?? []);
  if (!isSame) return [''];
  return wanted.object === undefined ? [] : fieldsOf(wanted.object, got.object, ' ');
}

function fieldsOf(wanted: unknown, got: unknown, at: string): string[] {
  if (Array.isArray(wanted) && Array.isArray(got) && wanted.length === got.length) {
    return wanted.flatMap((item, position) => fieldsOf(item, got[position], `${at}[${position}]`));
  }
  if (isRecord(wanted) && isRecord(got)) {
    const names = new Set([...Object.keys(wanted), ...Object.keys(got)]);
    return [...names].flatMap(name => fieldsOf(wanted[name], got[name], `${at}.${name}`));
  }
  return wanted === got ? [] : [at];
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The first columns of the tables. */
function allowedDifferences(): RegExp[] {
  const page = readFileSync(join(import.meta.dirname, 'probe-differences.md'), 'utf8');
  return [...page.matchAll(/^\| `([^`]+)` \|/gm)].map(([, pattern = '']) => {
    const parts = pattern.split('*').map(part => RegExp.escape(part));
    return new RegExp(`^${parts.join('.*')}$`);
  });
}
