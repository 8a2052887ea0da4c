import { readFileSync } from 'node:fs';
import { readChain } from './chain.ts';
import { CorefileError, parseCorefile, wrong, zoneName, zoneOf, type Directive, type ServerBlock } from './corefile.ts';
import { failure, responseCode } from './message.ts';
import { noPatterns, patternCompiler } from './pattern.ts';
import type { DnsContext, Handler, Upstream } from './plugin.ts';
import { clusterZonesOf } from './plugins/kubernetes.ts';

export interface ConfigurationSource {
  readonly corefile: string;
  /** Other keys of the ConfigMap, which directives may name as files. */
  readonly files: ReadonlyMap<string, string>;
  readonly nodeUpstreams: readonly Upstream[];
}

/** A Corefile that has been read and found right. */
export interface Configuration {
  readonly reloads: boolean;
  readonly counts: boolean;
  readonly servers: readonly Server[];
}

interface Server {
  /** 53 is the server's own port, whatever that is. */
  readonly port: number;
  readonly zones: readonly string[];
  readonly clusterZones: readonly string[];
  readonly counts: boolean;
  build(context: DnsContext): Handler;
}

const portDefault = 53;

/** Throws a `CorefileError` for what is wrong. Opens nothing. */
export async function readConfiguration(source: ConfigurationSource): Promise<Configuration> {
  const blocks = parseCorefile(source.corefile);
  if (blocks.length === 0) throw new CorefileError(1, 'there is no server block');
  const named = (block: ServerBlock, ...names: readonly string[]) =>
    block.directives.some(({ name }) => names.includes(name));
  const pattern = blocks.some(block => named(block, 'rewrite', 'template', 'errors'))
    ? await patternCompiler()
    : noPatterns;
  const servers = blocks.flatMap((block): Server[] => {
    const keys = block.keys.map(key => placeOf(key, block));
    const zones = keys.map(({ zone }) => zone);
    const build = readChain(block.directives, {
      zones,
      nodeUpstreams: source.nodeUpstreams,
      pattern,
      readFile: (directive, path) => readFile(directive, path, source.files),
    });
    const kubernetes = block.directives.filter(({ name }) => name === 'kubernetes');
    const clusterZones = clusterZonesOf(kubernetes, zones);
    return [...new Set(keys.map(({ port }) => port))].map(port => ({
      port,
      zones: keys.filter(key => key.port === port).map(({ zone }) => zone),
      clusterZones,
      counts: named(block, 'prometheus'),
      build,
    }));
  });
  const seen = new Set<string>();
  for (const { port, zones } of servers)
    for (const zone of zones) {
      if (seen.has(`${zone}.:${port}`))
        throw new CorefileError(1, `cannot serve dns://${zone}.:${port} - it is already defined`);
      seen.add(`${zone}.:${port}`);
    }
  return {
    reloads: blocks.some(block => named(block, 'reload')),
    counts: servers.some(({ counts }) => counts),
    servers,
  };
}

/** One handler for a port: the server with the longest zone that a name is in answers it. */
export function routeByZone(servers: readonly (readonly [zones: readonly string[], handler: Handler])[]): Handler {
  const [first] = servers;
  if (servers.length === 1 && first?.[0].includes('') === true) return first[1];
  const handlers = new Map(servers.flatMap(([zones, handler]) => zones.map(zone => [zone, handler] as const)));
  const zones = [...handlers.keys()];
  return (query, client) =>
    handlers.get(zoneOf(query.name, zones) ?? '')?.(query, client) ?? failure(responseCode.REFUSED);
}

function placeOf(key: string, block: ServerBlock): { readonly zone: string; readonly port: number } {
  const where = { name: 'server block', line: block.line };
  const scheme = /^([a-z]+):\/\//.exec(key)?.[1];
  if (scheme !== undefined && scheme !== 'dns')
    throw new CorefileError(block.line, `${JSON.stringify(key)} is not served: only plain DNS is`);
  const plain = key.replace(/^dns:\/\//, '');
  const [, zone = plain, port] = /^(.*?)(?::(\d{1,5}))?$/.exec(plain) ?? [];
  const number = port === undefined ? portDefault : Number(port);
  if (number < 1 || number > 65_535) throw new CorefileError(block.line, `${JSON.stringify(key)} has no such port`);
  return { zone: zoneName(where, zone === '' ? '.' : zone), port: number };
}

/** The node's own hosts, and what lies beside the Corefile; no other file of the node is shown to anybody. */
function readFile(directive: Directive, path: string, files: ReadonlyMap<string, string>): string {
  if (path === '/etc/hosts') return readFileSync(path, 'utf8');
  const key = path.replace(/^\/etc\/coredns\//, '');
  const text = files.get(key);
  if (text === undefined) throw wrong(directive, `there is no file ${path}: files are keys of the ConfigMap`);
  return text;
}
