import { kinds as allKinds } from '#api/kinds.ts';
import { apiVersionOf, type Kind } from '#api/machinery/kind.ts';

/** `GROUP/VERSION=true`, `GROUP/VERSION/RESOURCE=true`, `api/beta=true`, …: how upstream's `--runtime-config` is written. */
export function kindsServed(words: readonly string[] = []): readonly Kind[] {
  const choices = new Map(words.map(choiceOf));
  for (const key of choices.keys()) checkKey(key);
  const kinds = allKinds.filter(kind => kind.plural !== '' && isServed(kind, choices));
  for (const kind of kinds) if (!kind.served) checkStorage(kind, kinds);
  return kinds;
}

function choiceOf(word: string): readonly [string, boolean] {
  const [key = '', value = 'true'] = word.split('=');
  if (key === '' || !['true', 'false', ''].includes(value))
    throw new Error(`cannot read ${JSON.stringify(word)} of runtime-config: it takes KEY=true and KEY=false`);
  return [key, value !== 'false'];
}

const stages = ['api/all', 'api/ga', 'api/beta', 'api/alpha'];

function checkKey(key: string): void {
  if (stages.includes(key) || allKinds.some(kind => keysOf(kind).includes(key))) return;
  throw new Error(`cannot follow runtime-config: there is no API ${JSON.stringify(key)}`);
}

/** From the narrowest to the widest. */
function keysOf(kind: Kind): readonly string[] {
  const version = apiVersionOf(kind);
  return [`${version}/${kind.plural}`, version, `api/${stageOf(kind)}`, 'api/all'];
}

function stageOf({ version }: Kind): 'ga' | 'beta' | 'alpha' {
  return version.includes('alpha') ? 'alpha' : version.includes('beta') ? 'beta' : 'ga';
}

function isServed(kind: Kind, choices: ReadonlyMap<string, boolean>): boolean {
  const key = keysOf(kind).find(each => choices.has(each));
  const chosen = key === undefined ? kind.served : choices.get(key) === true;
  if (!chosen && kind.served)
    throw new Error(`cannot leave out ${apiVersionOf(kind)}/${kind.plural}: the control plane is built on it`);
  return chosen;
}

/** Versions of one resource have one storage; nothing converts those that stand alone. */
function checkStorage(kind: Kind, served: readonly Kind[]): void {
  const siblings = served.filter(each => each !== kind && each.group === kind.group && each.plural === kind.plural);
  const stored = kind.storedAs ?? kind;
  const others = siblings.filter(each => !each.storedAs);
  if (kind.storedAs ? others.some(each => each.version === stored.version) : others.length === 0) return;
  const name = `${apiVersionOf(kind)}/${kind.plural}`;
  throw new Error(
    kind.storedAs
      ? `cannot serve ${name} without ${apiVersionOf(stored)}, which its objects are stored as`
      : `cannot serve ${name} beside ${others.map(apiVersionOf).join(', ')}: nothing converts between them`,
  );
}
