import type { PodTemplateSpec } from '#api/core/v1/pod-template-spec.ts';
import { canonicalJson } from '../canonical-json.ts';

export const templateHashLabel = 'pod-template-hash';

/** The alphabet of upstream's hashes: no vowels, nothing that looks alike. */
const alphabet = 'bcdfghjklmnpqrstvwxz2456789';

/** A short name for a template: the same for the same template, another one after a collision. */
export function templateHash(template: PodTemplateSpec, collisionCount: number | undefined): string {
  const text = canonicalJson(template) + (collisionCount === undefined ? '' : `#${collisionCount}`);
  return safeText(fnv1a(text));
}

/** Do two templates describe the same pods? The label with the hash does not count. */
export function sameTemplate(a: PodTemplateSpec, b: PodTemplateSpec): boolean {
  return a === b || canonicalJson(withoutHash(a)) === canonicalJson(withoutHash(b));
}

export function fnv1a(text: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < text.length; index++) hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  return hash >>> 0;
}

/** The decimal digits of a number in the alphabet of names. */
export function safeText(hash: number): string {
  return [...String(hash)].map(digit => alphabet[digit.charCodeAt(0) % alphabet.length]).join('');
}

function withoutHash(template: PodTemplateSpec): PodTemplateSpec {
  const { [templateHashLabel]: _, ...labels } = template.metadata?.labels ?? {};
  return { ...template, metadata: { ...template.metadata, labels } };
}
