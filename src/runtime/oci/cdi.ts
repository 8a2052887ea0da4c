import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { decodeYaml } from '#api/machinery/yaml.ts';
import { RuntimeError } from '../runtime.ts';
import { describeDevice } from './devices.ts';
import type { OciDevice, OciMount, OciSpec } from './spec.ts';

/** Where the Container Device Interface keeps its files; of two devices with one name that of the later folder counts. */
export const cdiDirectories: readonly string[] = ['/etc/cdi', '/var/run/cdi'];

/** What a device wants done to a container, in the words of the CDI specification (0.8 and before). */
export interface ContainerEdits {
  readonly env?: readonly string[];
  readonly deviceNodes?: readonly {
    readonly path: string;
    readonly hostPath?: string;
    readonly type?: string;
    readonly major?: number;
    readonly minor?: number;
    readonly fileMode?: number;
    readonly permissions?: string;
    readonly uid?: number;
    readonly gid?: number;
  }[];
  readonly mounts?: readonly {
    readonly hostPath: string;
    readonly containerPath: string;
    readonly options?: readonly string[];
    readonly type?: string;
  }[];
  readonly hooks?: readonly {
    readonly hookName: string;
    readonly path: string;
    readonly args?: readonly string[];
    readonly env?: readonly string[];
    readonly timeout?: number;
  }[];
  readonly additionalGids?: readonly number[];
}

interface CdiFile {
  readonly cdiVersion?: string;
  readonly kind?: string;
  readonly devices?: readonly { readonly name: string; readonly containerEdits?: ContainerEdits }[];
  readonly containerEdits?: ContainerEdits;
}

interface Found {
  readonly file: string;
  readonly edits: ContainerEdits;
  /** What every device of the file wants; done once. */
  readonly common: ContainerEdits;
  readonly directory: string;
}

/** The container with these devices in it. Throws `InvalidArgument` when one is unknown or ambiguous. */
export function withCdiDevices(
  spec: OciSpec,
  names: readonly string[],
  directories: readonly string[] = cdiDirectories,
): OciSpec {
  if (names.length === 0) return spec;
  const { devices, ambiguous } = readDevices(directories);
  const unresolvable = names.filter(name => !devices.has(name) || ambiguous.has(name));
  if (unresolvable.length > 0)
    throw new RuntimeError('InvalidArgument', `unresolvable CDI devices ${unresolvable.join(', ')}`);
  let edited = spec;
  const files = new Set<string>();
  for (const name of new Set(names)) {
    const { file, edits, common } = devices.get(name) as Found;
    if (!files.has(file)) edited = withEdits(edited, common);
    files.add(file);
    edited = withEdits(edited, edits);
  }
  return edited;
}

function readDevices(directories: readonly string[]): {
  readonly devices: ReadonlyMap<string, Found>;
  readonly ambiguous: ReadonlySet<string>;
} {
  const devices = new Map<string, Found>();
  const ambiguous = new Set<string>();
  for (const directory of directories)
    for (const file of filesIn(directory)) {
      const { kind = '', devices: listed = [], containerEdits: common = {} } = readCdi(file);
      for (const { name, containerEdits: edits = {} } of listed) {
        const full = `${kind}=${name}`;
        if (devices.get(full)?.directory === directory) ambiguous.add(full);
        else ambiguous.delete(full);
        devices.set(full, { file, edits, common, directory });
      }
    }
  return { devices, ambiguous };
}

function filesIn(directory: string): readonly string[] {
  try {
    const names = readdirSync(directory).filter(name => /\.(json|ya?ml)$/.test(name));
    return names.toSorted().map(name => join(directory, name));
  } catch (error) {
    // Most machines have no devices of this kind.
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return [];
    throw error;
  }
}

/** A file that cannot be read has no devices: who asks for one is told that there is none. */
function readCdi(file: string): CdiFile {
  try {
    const text = readFileSync(file, 'utf8');
    const found = (file.endsWith('.json') ? JSON.parse(text) : decodeYaml(text)) as CdiFile | null;
    return found?.cdiVersion !== undefined && /^[\w.-]+\/[\w.-]+$/.test(found.kind ?? '') ? found : {};
  } catch {
    // Somebody may be writing it just now.
    return {};
  }
}

function withEdits(spec: OciSpec, edits: ContainerEdits): OciSpec {
  const devices = (edits.deviceNodes ?? []).map(deviceOf);
  const paths = new Set(devices.map(({ path }) => path));
  const rules = devices.map(({ type, major, minor, access }) => ({ allow: true, type, major, minor, access }));
  const mounts = (edits.mounts ?? []).map(mountOf);
  const places = new Set(mounts.map(({ destination }) => destination));
  const named = new Set((edits.env ?? []).map(nameOf));
  const { additionalGids = [] } = edits;
  const { resources } = spec.linux;
  const known = (resources['devices'] ?? []) as readonly object[];
  const allDevices = [...(spec.linux.devices ?? []).filter(({ path }) => !paths.has(path)), ...devices];
  return {
    ...spec,
    process: {
      ...spec.process,
      env: [...spec.process.env.filter(each => !named.has(nameOf(each))), ...(edits.env ?? [])],
      user: {
        ...spec.process.user,
        additionalGids: [...new Set([...spec.process.user.additionalGids, ...additionalGids.filter(gid => gid !== 0)])],
      },
    },
    mounts: [...spec.mounts.filter(({ destination }) => !places.has(destination)), ...mounts],
    ...(edits.hooks?.length && { hooks: withHooks(spec.hooks, edits.hooks) }),
    linux: {
      ...spec.linux,
      ...(allDevices.length > 0 && { devices: allDevices }),
      resources: { ...resources, devices: [...known, ...rules] },
    },
  };
}

function nameOf(assignment: string): string {
  return assignment.split('=')[0] ?? '';
}

type Node = NonNullable<ContainerEdits['deviceNodes']>[number];

/** What the file does not say, the device on the host does. */
function deviceOf({ path, hostPath = path, permissions = 'rwm', ...told }: Node): OciDevice {
  const isWhole = told.type !== undefined && (told.type === 'p' || told.major !== undefined);
  const found = isWhole ? undefined : describeDevice(hostPath);
  const type = (told.type ?? found?.type ?? 'c') as OciDevice['type'];
  return {
    path,
    type,
    major: told.major ?? found?.major ?? 0,
    minor: told.minor ?? found?.minor ?? 0,
    fileMode: told.fileMode ?? found?.fileMode ?? 0o666,
    uid: told.uid ?? found?.uid ?? 0,
    gid: told.gid ?? found?.gid ?? 0,
    access: permissions,
  };
}

function mountOf({
  hostPath,
  containerPath,
  options = [],
  type = 'bind',
}: NonNullable<ContainerEdits['mounts']>[number]): OciMount {
  const isBind = type === 'bind' || type === '';
  const isBound = options.includes('bind') || options.includes('rbind');
  return {
    destination: containerPath,
    source: hostPath,
    type: isBind ? 'bind' : type,
    options: isBind && !isBound ? ['rbind', ...options] : options,
  };
}

type Hooks = NonNullable<OciSpec['hooks']>;

function withHooks(known: Hooks = {}, added: NonNullable<ContainerEdits['hooks']>): Hooks {
  const all = new Map(Object.entries(known));
  for (const { hookName, ...hook } of added) all.set(hookName, [...(all.get(hookName) ?? []), hook]);
  return Object.fromEntries(all);
}
