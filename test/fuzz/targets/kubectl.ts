import { spawn, spawnSync } from 'node:child_process';
import { isDeepStrictEqual } from 'node:util';
import { ApiError } from '#api/machinery/errors.ts';
import { decodeObject } from '#api/machinery/decode.ts';
import { decodeJson, encodeJson } from '#api/machinery/json.ts';
import { apiVersionOf } from '#api/machinery/kind.ts';
import { applyJsonPatch } from '#api/machinery/patch/json-patch.ts';
import { applyMergePatch } from '#api/machinery/patch/merge-patch.ts';
import { applyStrategicMergePatch } from '#api/machinery/patch/strategic-merge-patch.ts';
import type { Json, JsonObject } from '#api/machinery/schema.ts';
import { difference, holds, shown, type Target, Violation } from '../target.ts';
import { frozen, kindOf, samples, strategicWords } from './samples.ts';

/*
 * kubectl carries upstream's code for patches with it, and `kubectl patch --local` runs it on a file. So it says what a patch
 * makes of an object, without a server.
 */

const [pod, deployment, service] = samples as [JsonObject, JsonObject, JsonObject];

interface Case {
  readonly type: 'strategic' | 'merge' | 'json';
  readonly object: JsonObject;
  readonly patch: Json;
}

const seeds: readonly Case[] = [
  {
    type: 'strategic',
    object: pod,
    patch: {
      spec: {
        containers: [{ name: 'main', image: 'x' }, { name: 'new' }],
        volumes: [{ name: 'data', emptyDir: null, $retainKeys: ['name', 'hostPath'], hostPath: { path: '/x' } }],
      },
    },
  },
  {
    type: 'strategic',
    object: pod,
    patch: {
      metadata: { finalizers: ['c'], '$deleteFromPrimitiveList/finalizers': ['example.com/one'] },
      spec: { tolerations: [], '$setElementOrder/containers': [{ name: 'side' }, { name: 'main' }] },
    },
  },
  {
    type: 'strategic',
    object: deployment,
    patch: {
      spec: {
        strategy: { $retainKeys: ['type'], type: 'Recreate' },
        template: { spec: { containers: [{ $patch: 'delete', name: 'side' }] } },
      },
    },
  },
  {
    type: 'strategic',
    object: service,
    patch: { spec: { ports: [{ port: 80, targetPort: 1 }, { port: 443 }], selector: { $patch: 'replace', a: 'b' } } },
  },
  {
    type: 'merge',
    object: pod,
    patch: { metadata: { labels: null, annotations: { b: '2' } }, spec: { containers: [{ name: 'x' }] } },
  },
  {
    type: 'json',
    object: pod,
    patch: [
      { op: 'add', path: '/spec/containers/-', value: { name: 'x' } },
      { op: 'move', from: '/metadata/labels/app', path: '/metadata/annotations/app' },
      { op: 'test', path: '/spec/nodeSelector/zone', value: 'a' },
      { op: 'remove', path: '/spec/volumes/0' },
    ],
  },
];

/** Whether there is somebody to ask. */
export const hasKubectl = spawnSync('kubectl', ['version', '--client'], { stdio: 'ignore' }).status === 0;

const patching: Target = {
  name: 'kubectl-patch',
  form: 'json',
  words: [
    ...strategicWords,
    'strategic',
    'json',
    'op',
    'path',
    'from',
    'value',
    'add',
    'remove',
    'move',
    'copy',
    'test',
    '/spec/containers/0',
    '/metadata/labels/a',
  ],
  seeds: () => (hasKubectl ? seeds.map(each => JSON.stringify(each)) : []),
  declares: error => error instanceof Error && error.constructor === Error,
  async run(input) {
    const read = decodeJson(input);
    const { type, object, patch } = (
      typeof read === 'object' && read !== null && !Array.isArray(read) ? read : {}
    ) as Partial<Case>;
    if (!hasKubectl || !type || !['strategic', 'merge', 'json'].includes(type)) return 'none';
    // What kubectl itself wants of a file and of a patch, and what only objects that are none would have.
    if (!isNamed(object) || !isSound(object) || typeof patch !== 'object' || patch === null) return 'none';
    const ours = outcomeOf({ type, object, patch });
    const theirs = await askKubectl({ type, object, patch });
    if (theirs === undefined || ours === undefined) {
      holds(!isSound(ours) || theirs !== undefined, () => `kubectl refuses, we make ${shown(ours)}`);
      holds(theirs === undefined, () => `we refuse, kubectl makes ${shown(theirs)}`);
      return 'refused';
    }
    holds(isDeepStrictEqual(ours, theirs), () => `kubectl makes something else, at ${difference(ours, theirs)}`);
    return `${type} ${Object.keys(patch).join().slice(0, 60)}`;
  },
};

/** kubectl also refuses what it makes when that is no object of its kind any more; a server does so later. */
function isSound(object: Json | undefined): boolean {
  if (!isNamed(object)) return false;
  try {
    decodeObject(kindOf(object).schema, decodeJson(encodeJson(object)), { unknown: 'drop' });
    return true;
  } catch (error) {
    if (error instanceof ApiError) return false;
    throw error;
  }
}

function isNamed(object: Json | undefined): object is JsonObject {
  if (typeof object !== 'object' || object === null || Array.isArray(object)) return false;
  const { metadata, apiVersion, kind } = object as { metadata?: unknown; apiVersion?: unknown; kind?: unknown };
  const named = kindOf(object as JsonObject);
  if (typeof metadata !== 'object' || metadata === null) return false;
  if (named.kind !== kind || apiVersionOf(named) !== apiVersion) return false;
  const { name, namespace } = metadata as { name?: unknown; namespace?: unknown };
  return typeof name === 'string' && /^[a-z]+$/.test(name) && (namespace === undefined || namespace === 'default');
}

/** Undefined: refused. */
function outcomeOf({ type, object, patch }: Case): Json | undefined {
  try {
    if (type === 'json') return applyJsonPatch(frozen(object), frozen(patch));
    if (type === 'merge') return applyMergePatch(frozen(object), frozen(patch));
    if (Array.isArray(patch)) return undefined;
    return applyStrategicMergePatch(kindOf(object).schema, frozen(object), frozen(patch as JsonObject));
  } catch (error) {
    if (error instanceof ApiError) return undefined;
    throw error;
  }
}

async function askKubectl({ type, object, patch }: Case): Promise<Json | undefined> {
  const child = spawn(
    'kubectl',
    ['patch', '--local', '--type', type, '--filename', '-', '--patch', encodeJson(patch), '--output', 'json'],
    {
      stdio: ['pipe', 'pipe', 'pipe'],
    },
  );
  const [output, errors]: [Buffer[], Buffer[]] = [[], []];
  child.stdout.on('data', (chunk: Buffer) => output.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => errors.push(chunk));
  // One that refuses what it was told first does not read the rest.
  child.stdin.on('error', () => undefined);
  child.stdin.end(encodeJson(object));
  const code = await new Promise<number | null>((resolve, reject) => {
    child.on('close', resolve);
    child.on('error', reject);
  });
  if (code === 0) return decodeJson(Buffer.concat(output));
  const said = Buffer.concat(errors).toString();
  if (!/error|panic|Error/.test(said)) throw new Violation(`kubectl ended with ${code}: ${shown(said)}`);
  return undefined;
}

export const kubectlTargets: readonly Target[] = [patching];
