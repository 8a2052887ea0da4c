import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** A network of plugins in a row, as CNI's configuration files describe it (CNI 1.1). */
export interface NetworkList {
  readonly name: string;
  readonly cniVersion: string;
  readonly disableCheck: boolean;
  readonly disableGC: boolean;
  /** As they are written: plugins read fields of their own. At least one. */
  readonly plugins: readonly PluginConfiguration[];
}

export interface PluginConfiguration {
  readonly type: string;
  readonly capabilities?: Readonly<Record<string, boolean>>;
  readonly [field: string]: unknown;
}

/** What a directory says: the first file by name that can be used, and why others before it cannot. */
export interface FoundNetwork {
  readonly list: NetworkList | undefined;
  readonly problems: readonly string[];
}

const endings = /\.(conflist|conf|json)$/;

/** As libcni's users do: files in the order of their names, the first that is right counts. */
export function findNetwork(directory: string): FoundNetwork {
  if (!existsSync(directory)) return { list: undefined, problems: [] };
  const problems: string[] = [];
  for (const name of readdirSync(directory)
    .filter(each => endings.test(each))
    .toSorted()) {
    const file = join(directory, name);
    try {
      return { list: readNetwork(file, directory), problems };
    } catch (error) {
      problems.push(`${file}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  return { list: undefined, problems };
}

function readNetwork(file: string, directory: string): NetworkList {
  const written = asObject(JSON.parse(readFileSync(file, 'utf8')), 'the configuration');
  const list = file.endsWith('.conflist') || Array.isArray(written.plugins) ? written : asList(written);
  const { name, cniVersion = '0.1.0', disableCheck, disableGC, loadOnlyInlinedPlugins, plugins = [] } = list;
  if (typeof name !== 'string' || !/^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/.test(name))
    throw new Error(`${JSON.stringify(name)} is no name for a network`);
  if (typeof cniVersion !== 'string' || !Array.isArray(plugins)) throw new Error('it is no list of plugins');
  const beside = isTrue(loadOnlyInlinedPlugins) ? [] : pluginsIn(join(directory, name));
  const all = [...(plugins as unknown[]), ...beside].map(asPlugin);
  if (all.length === 0) throw new Error('it names no plugins');
  return { name, cniVersion, disableCheck: isTrue(disableCheck), disableGC: isTrue(disableGC), plugins: all };
}

function asList(plugin: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  if (typeof plugin.type !== 'string') throw new Error("it has no 'type' field");
  return { name: plugin.name, cniVersion: plugin.cniVersion, plugins: [plugin] };
}

/** Plugins that others add to a network by files of their own (CNI 1.1). */
function pluginsIn(directory: string): readonly unknown[] {
  if (!existsSync(directory)) return [];
  const names = readdirSync(directory)
    .filter(each => each.endsWith('.conf'))
    .toSorted();
  return names.map(name => JSON.parse(readFileSync(join(directory, name), 'utf8')));
}

function asPlugin(value: unknown): PluginConfiguration {
  const plugin = asObject(value, 'a plugin');
  const { type } = plugin;
  if (typeof type !== 'string' || type === '' || type.includes('/') || type === '.' || type === '..')
    throw new Error(`${JSON.stringify(type)} is no type of plugin`);
  return { ...plugin, type };
}

function asObject(value: unknown, what: string): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new Error(`${what} is no object`);
  return value as Readonly<Record<string, unknown>>;
}

/** libcni takes the word as well. */
function isTrue(value: unknown): boolean {
  return value === true || value === 'true';
}

/** Whether a configuration is of this version of CNI or a later one. */
export function isAtLeast(version: string, wanted: readonly [number, number]): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  return major > wanted[0] || (major === wanted[0] && minor >= wanted[1]);
}
