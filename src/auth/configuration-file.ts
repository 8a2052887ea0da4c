import { readFileSync } from 'node:fs';
import type { Clock } from '#base/clock.ts';
import type { Log } from '#base/log.ts';
import { decodeYaml, duplicateYamlKeys } from '#api/machinery/yaml.ts';

const group = 'apiserver.config.k8s.io';

/** Fields of a configuration by name: the shape of what may stand there. A function checks and turns a single value. */
export type Shape = {
  readonly [Field in string]: Shape | readonly [Shape] | 'string' | 'boolean' | 'number' | 'strings';
};

/**
 * Reads a configuration of the API server's own group, as strictly as upstream: unknown fields, fields that stand twice and
 * values of another type are refused with their path.
 */
export function readConfiguration(
  text: string,
  kind: string,
  versions: readonly string[],
  shape: Shape,
): Readonly<Record<string, unknown>> {
  let document: unknown;
  try {
    document = decodeYaml(text);
  } catch (error) {
    throw new Error(`cannot read the ${kind}: ${(error as Error).message}`, { cause: error });
  }
  if (!isObject(document)) throw new Error(`cannot read the ${kind}: it is no object`);
  const known = versions.map(version => `${group}/${version}`);
  if (document['kind'] !== kind || !known.includes(String(document['apiVersion'])))
    throw new Error(
      `cannot read the ${kind}: no kind ${JSON.stringify(document['kind'] ?? '')} is registered for version ${JSON.stringify(document['apiVersion'] ?? '')}; known is ${kind} of ${known.join(', ')}`,
    );
  const { apiVersion, kind: _kind, ...rest } = document;
  void [apiVersion, _kind];
  const problems = duplicateYamlKeys(text).map(key => `key ${JSON.stringify(key)} already set in map`);
  checkShape(rest, shape, '', problems);
  if (problems.length > 0) throw new Error(`cannot read the ${kind}: strict decoding error: ${problems.join(', ')}`);
  return rest;
}

function checkShape(value: Readonly<Record<string, unknown>>, shape: Shape, path: string, problems: string[]): void {
  for (const [name, each] of Object.entries(value)) {
    const at = path === '' ? name : `${path}.${name}`;
    const wanted = Object.hasOwn(shape, name) ? shape[name] : undefined;
    if (wanted === undefined) problems.push(`unknown field ${JSON.stringify(at)}`);
    else if (each === null) continue;
    else if (typeof wanted === 'string') {
      const fits = wanted === 'strings' ? Array.isArray(each) && each.every(isText) : typeof each === wanted;
      if (!fits)
        problems.push(`field ${JSON.stringify(at)} is no ${wanted === 'strings' ? 'list of strings' : wanted}`);
    } else if (Array.isArray(wanted)) {
      if (!Array.isArray(each)) problems.push(`field ${JSON.stringify(at)} is no list`);
      else
        for (const [position, item] of each.entries())
          if (isObject(item)) checkShape(item, wanted[0] as Shape, `${at}[${position}]`, problems);
          else problems.push(`field ${JSON.stringify(`${at}[${position}]`)} is no object`);
    } else if (isObject(each)) checkShape(each, wanted as Shape, at, problems);
    else problems.push(`field ${JSON.stringify(at)} is no object`);
  }
}

function isText(value: unknown): boolean {
  return typeof value === 'string';
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** How often a configuration that may change is looked at. */
const lookEveryMs = 10_000;

/**
 * Calls `changed` with the text of a file that has another content than before. What cannot be taken over is logged, and
 * the configuration of before goes on.
 */
export function followFile(
  file: string,
  before: string,
  changed: (text: string) => Promise<void>,
  { clock, log }: { readonly clock: Clock; readonly log: Log },
): Disposable {
  let known = before;
  let stopped = false;
  const look = async () => {
    try {
      const text = readFileSync(file, 'utf8');
      if (text !== known) {
        known = text;
        await changed(text);
        log.info('a changed configuration is in use', { file });
      }
    } catch (error) {
      log.error('cannot take over a changed configuration; the one of before goes on', { file, error });
    }
    if (!stopped) cancel = clock.after(lookEveryMs, () => void look());
  };
  let cancel = clock.after(lookEveryMs, () => void look());
  return {
    [Symbol.dispose]() {
      stopped = true;
      cancel();
    },
  };
}
