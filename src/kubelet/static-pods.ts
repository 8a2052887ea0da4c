import { createHash } from 'node:crypto';
import { type FSWatcher, readdirSync, readFileSync, statSync, watch } from 'node:fs';
import { join } from 'node:path';
import { Pod } from '#api/core/v1/pod.ts';
import { defaultObject } from '#api/machinery/defaults.ts';
import { formatTime } from '#api/machinery/time.ts';
import { decodeYaml } from '#api/machinery/yaml.ts';
import type { Clock } from '#base/clock.ts';
import type { Log } from '#base/log.ts';
import { sourceAnnotations } from './pods/names.ts';

export interface StaticPodsOptions {
  /** A folder of manifests, or one manifest. */
  readonly path: string;
  readonly nodeName: string;
  readonly everyMs: number;
  readonly clock: Clock;
  readonly log: Log;
  /** All pods that there are now, by uid. */
  readonly changed: (pods: ReadonlyMap<string, Pod>) => void;
}

/** The pods that a folder of the node says are to run. A file that cannot be read as a pod is told of and left out. */
export class StaticPods implements Disposable {
  readonly #options: StaticPodsOptions;
  /** What was read of each file, so that an unchanged one is the same pod, seen at the same time. */
  readonly #files = new Map<string, { readonly text: string; readonly pod: Pod | undefined }>();
  #watcher: FSWatcher | undefined;
  #cancel = () => {};
  #closed = false;

  constructor(options: StaticPodsOptions) {
    this.#options = options;
  }

  /** Looks now, whenever the folder changes, and as often as it is told. */
  start(): void {
    this.#look();
    this.#schedule();
  }

  [Symbol.dispose](): void {
    this.#closed = true;
    this.#cancel();
    this.#watcher?.close();
  }

  #schedule(): void {
    if (this.#closed) return;
    this.#cancel = this.#options.clock.after(this.#options.everyMs, () => {
      this.#look();
      this.#schedule();
    });
  }

  #watchFolder(): void {
    if (this.#watcher || this.#closed) return;
    try {
      this.#watcher = watch(this.#options.path, () => this.#look());
      this.#watcher.unref();
      this.#watcher.on('error', () => {
        this.#watcher?.close();
        this.#watcher = undefined;
      });
    } catch {
      // It is not there yet; the next look is soon.
      this.#watcher = undefined;
    }
  }

  #look(): void {
    if (this.#closed) return;
    const { log, path } = this.#options;
    this.#watchFolder();
    let files: readonly string[];
    try {
      files = filesAt(path);
    } catch (error) {
      // What ran goes on: a folder that cannot be read says nothing.
      log.warn('cannot read the static pods', { path, error });
      return;
    }
    for (const file of this.#files.keys()) if (!files.includes(file)) this.#files.delete(file);
    for (const file of files) this.#read(file);
    const pods = [...this.#files.values()].map(({ pod }) => pod).filter(pod => pod !== undefined);
    this.#options.changed(new Map(pods.map(pod => [pod.metadata.uid ?? '', pod])));
  }

  #read(file: string): void {
    const { log, nodeName, clock } = this.#options;
    try {
      const text = readFileSync(file, 'utf8');
      if (this.#files.get(file)?.text === text) return;
      const before = this.#files.get(file)?.pod;
      // A file that is being written is not whole; what it said before holds until it is.
      this.#files.set(file, { text, pod: before });
      this.#files.set(file, { text, pod: podOf(text, file, nodeName, clock.now()) });
    } catch (error) {
      log.warn('cannot read a static pod', { file, error });
    }
  }
}

function filesAt(path: string): readonly string[] {
  const found = statSync(path, { throwIfNoEntry: false });
  if (!found) return [];
  if (!found.isDirectory()) return [path];
  return readdirSync(path, { withFileTypes: true })
    .filter(entry => !entry.name.startsWith('.') && (entry.isFile() || entry.isSymbolicLink()))
    .map(entry => join(path, entry.name))
    .toSorted();
}

/** The manifest as a pod of this node: with upstream's name, uid, annotations and toleration. */
function podOf(text: string, file: string, nodeName: string, nowMs: number): Pod {
  const draft = decodeYaml(text) as { [key: string]: unknown } | null;
  const { apiVersion, kind } = draft ?? {};
  if (apiVersion !== 'v1' || kind !== 'Pod')
    throw new Error(`it holds ${String(kind)} in ${String(apiVersion)}, no Pod`);
  const { metadata, spec } = structuredClone(draft) as unknown as Pod;
  if (!metadata?.name) throw new Error('the pod has no name');
  if (!spec?.containers?.length) throw new Error('the pod has no containers');
  const hash = createHash('md5')
    .update(`host:${nodeName}\0file:${file}\0${JSON.stringify(draft)}`)
    .digest('hex');
  const pod = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      ...metadata,
      name: `${metadata.name}-${nodeName}`,
      namespace: metadata.namespace || 'default',
      uid: metadata.uid || hash,
      annotations: {
        ...metadata.annotations,
        [sourceAnnotations.hash]: hash,
        [sourceAnnotations.seen]: formatTime(nowMs),
        [sourceAnnotations.source]: 'file',
      },
    },
    spec: {
      ...spec,
      nodeName,
      // It stays where it is, whatever becomes of the node.
      tolerations: [...(spec.tolerations ?? []), { operator: 'Exists', effect: 'NoExecute' }],
    },
    status: { phase: 'Pending' },
  };
  defaultObject(Pod, pod as unknown as Parameters<typeof defaultObject>[1]);
  return pod as unknown as Pod;
}

/** What the API is shown of a static pod. */
export function mirrorOf(pod: Pod, nodeUid: string): Pod {
  const { uid: _, ...metadata } = pod.metadata;
  const hash = metadata.annotations?.[sourceAnnotations.hash] ?? '';
  const owner = {
    apiVersion: 'v1',
    kind: 'Node',
    name: pod.spec?.nodeName ?? '',
    uid: nodeUid ?? '',
    controller: true,
  };
  return {
    ...pod,
    metadata: {
      ...metadata,
      annotations: { ...metadata.annotations, [sourceAnnotations.mirror]: hash },
      ownerReferences: [owner],
    },
    status: {},
  } as unknown as Pod;
}
