import { isDNS1123Label, isDNS1123Subdomain } from '../../machinery/names.ts';
import type { PodSpec } from './pod-spec.ts';

/** A spec without any fault, which specs made of the same template are held against. */
export interface KnownSpec {
  readonly spec: PodSpec;
  readonly tokenVolume: string | undefined;
  /** Nothing in it is warned of either. */
  isQuiet: boolean;
}

/**
 * Finds a spec that was found good and is the same, whatever its node, its hostname and its token volume are called. Pods of
 * one workload are validated once.
 */
export function knownSpecLike(spec: PodSpec): KnownSpec | undefined {
  // Validation asks, and right after it who looks for warnings.
  if (spec === lastAsked) return lastKnown;
  lastAsked = spec;
  lastKnown = undefined;
  const known = byTemplate.get(templateOf(spec));
  if (!known) return undefined;
  const token = tokenVolumeOf(spec);
  lastKnown = known.find(each => isAlike(each, spec, token));
  return lastKnown;
}

let lastAsked: PodSpec | undefined;
let lastKnown: KnownSpec | undefined;

/** The spec has no fault. Nobody changes it any more. */
export function rememberSpec(spec: PodSpec): void {
  // Their claims are called after the pod.
  if (spec.volumes?.some(volume => volume.ephemeral !== undefined)) return;
  const template = templateOf(spec);
  const known = byTemplate.get(template) ?? [];
  lastAsked = spec;
  lastKnown = { spec, tokenVolume: tokenVolumeOf(spec), isQuiet: false };
  byTemplate.delete(template);
  byTemplate.set(template, [lastKnown, ...known].slice(0, likeMax));
  if (byTemplate.size > templatesMax) byTemplate.delete(byTemplate.keys().next().value as string);
}

const byTemplate = new Map<string, readonly KnownSpec[]>();
const templatesMax = 64;
/** Specs that look alike at first sight and differ: claims of a StatefulSet. */
const likeMax = 2;

function templateOf(spec: PodSpec): string {
  // What is judged may be anything that can be read as a pod.
  const { containers, volumes } = spec as Partial<PodSpec>;
  const first = containers?.[0];
  return `${containers?.length} ${volumes?.length} ${first?.name} ${first?.image}`;
}

const tokenVolumePattern = /^kube-api-access-[a-z0-9]{5}$/;

/** The token's volume has another name in every pod. */
function tokenVolumeOf({ volumes }: PodSpec): string | undefined {
  return volumes?.find(({ name }) => typeof name === 'string' && tokenVolumePattern.test(name))?.name;
}

function isAlike(known: KnownSpec, spec: PodSpec, token: string | undefined): boolean {
  const { nodeName, hostname, ...rest } = spec;
  const { nodeName: knownNode, hostname: knownHostname, ...knownRest } = known.spec;
  if (!areNamesAlike(nodeName, knownNode, isDNS1123Subdomain)) return false;
  if (!areNamesAlike(hostname, knownHostname, isDNS1123Label)) return false;
  if ((token === undefined) !== (known.tokenVolume === undefined)) return false;
  return areAlike(knownRest, rest, known.tokenVolume, token);
}

function areNamesAlike(
  name: string | undefined,
  known: string | undefined,
  problems: (text: string) => readonly string[],
): boolean {
  return name === known || (Boolean(name) && Boolean(known) && problems(name as string).length === 0);
}

/** Equal but for the name of the token's volume, which stands in the same places. */
function areAlike(a: unknown, b: unknown, tokenA: string | undefined, tokenB: string | undefined): boolean {
  if (typeof a === 'string' && (a === tokenA || b === tokenB)) return a === tokenA && b === tokenB;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return a === b;
  // What both share may hold one of the names.
  if (a === b && tokenA === tokenB) return true;
  if (Array.isArray(a)) {
    if (!Array.isArray(b) || a.length !== b.length) return false;
    for (let index = 0; index < a.length; index++) if (!areAlike(a[index], b[index], tokenA, tokenB)) return false;
    return true;
  }
  if (Array.isArray(b)) return false;
  const one = a as Readonly<Record<string, unknown>>;
  const other = b as Readonly<Record<string, unknown>>;
  for (const key in one)
    if (one[key] !== undefined && !(Object.hasOwn(other, key) && areAlike(one[key], other[key], tokenA, tokenB)))
      return false;
  for (const key in other)
    if (other[key] !== undefined && (!Object.hasOwn(one, key) || one[key] === undefined)) return false;
  return true;
}
