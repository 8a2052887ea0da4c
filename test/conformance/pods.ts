import { dirname } from 'node:path';
import type { Partly } from '#api/machinery/kind.ts';
import { Pod } from '#api/core/v1/pod.ts';
import type { Trial } from './conformance.ts';
import { until, type Stored } from './waiting.ts';

type Containers = NonNullable<Pod['spec']>['containers'];

export interface PodWish extends Omit<Partly<NonNullable<Pod['spec']>>, 'containers'> {
  readonly name?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  /** Default: the shell image `client`, which waits until it is ended. */
  readonly image?: string;
  /** For `sh -c` in the first container, instead of what the image does. */
  readonly script?: string;
  /** Further wishes of the first container. */
  readonly container?: Partly<Containers[number]>;
  /** Containers beside the first. */
  readonly beside?: readonly Partly<Containers[number]>[];
}

/** A Pod of one container called `main`, gone a second after it is deleted. */
export function podOf(t: Trial, wish: PodWish = {}): Partly<Pod> {
  const {
    name = t.unique('pod'),
    labels,
    annotations,
    image = 'client:latest',
    script,
    container,
    beside = [],
    ...spec
  } = wish;
  return {
    metadata: { name, ...(labels && { labels }), ...(annotations && { annotations }) },
    spec: {
      terminationGracePeriodSeconds: 1,
      ...spec,
      containers: [
        {
          name: 'main',
          image: t.image(image),
          ...(script !== undefined && { command: ['sh', '-c', script] }),
          ...container,
        },
        ...beside,
      ],
    },
  } as Partly<Pod>;
}

export const isRunning = ({ status }: Pod) => status?.phase === 'Running';
export const isReady = ({ status }: Pod) =>
  status?.conditions?.some(({ type, status: holds }) => type === 'Ready' && holds === 'True') ?? false;
export const isFinished = ({ status }: Pod) => status?.phase === 'Succeeded' || status?.phase === 'Failed';

export async function createPod(t: Trial, wish: PodWish | Partly<Pod> = {}): Promise<Stored<Pod>> {
  return (await t.client.create<Pod>(Pod, 'metadata' in wish ? wish : podOf(t, wish as PodWish), {
    namespace: t.namespace,
  })) as Stored<Pod>;
}

/** Creates a Pod and waits until it is ready. */
export async function readyPod(t: Trial, wish: PodWish | Partly<Pod> = {}): Promise<Stored<Pod>> {
  const { metadata } = await createPod(t, wish);
  return until(t, Pod, metadata.name, 'it is ready', isReady);
}

/** Creates a Pod that ends by itself, and tells how it ended and what it said. */
export async function finishedPod(
  t: Trial,
  wish: PodWish | Partly<Pod>,
): Promise<{ readonly pod: Stored<Pod>; readonly log: string }> {
  const { metadata } = await createPod(t, 'metadata' in wish ? wish : { restartPolicy: 'Never', ...wish });
  const pod = await until(t, Pod, metadata.name, 'it has ended', isFinished);
  return { pod, log: await logOf(t, metadata.name) };
}

/** What a Pod of this wish says until it succeeds; fails with its words when it fails. */
export async function outputOf(t: Trial, wish: PodWish | Partly<Pod>): Promise<string> {
  const { pod, log } = await finishedPod(t, wish);
  if (pod.status?.phase !== 'Succeeded') throw new Error(`pod ${pod.metadata.name} failed, saying:\n${log}`);
  return log;
}

export function logOf(t: Trial, name: string, container?: string): Promise<string> {
  const { client, namespace } = t;
  const query = container === undefined ? '' : `?container=${container}`;
  return client.raw(`/api/v1/namespaces/${namespace}/pods/${name}/log${query}`);
}

/** Runs a command in a Pod's first container, through kubectl. */
export function execIn(t: Trial, name: string, ...command: readonly string[]): Promise<string> {
  return t.kubectl('exec', name, '--', ...command);
}

/**
 * What makes the host's Node run a script in a container of any image, for programs that a shell cannot be: a TLS client,
 * a webhook. To be spread into a PodWish.
 */
export function nodeProgram(script: string): Pick<PodWish, 'container' | 'volumes'> {
  const folders = { node: dirname(process.execPath), lib: '/lib', lib64: '/lib64', 'usr-lib': '/usr/lib' };
  const mountPaths = { ...folders, node: '/node' };
  return {
    container: {
      command: ['/node/node', '--input-type=module', '--eval', script],
      volumeMounts: Object.entries(mountPaths).map(([name, mountPath]) => ({ name, mountPath, readOnly: true })),
    },
    volumes: Object.entries(folders).map(([name, path]) => ({ name, hostPath: { path } })),
  };
}
