import { deepEqual } from '#base/deep-equal.ts';
import { limits } from '#base/limits.ts';
import { errors } from '../errors.ts';
import { encodeJson, setOwn } from '../json.ts';
import type { Json } from '../schema.ts';

/**
 * Applies a JSON patch (RFC 6902). The object may be frozen: what changes is copied, the rest is shared. Throws an
 * ApiError: 400 for what is no patch, 413 for too many operations, 422 for an operation that does not apply.
 */
export function applyJsonPatch(object: Json, operations: Json): Json {
  if (operations === null) return object;
  if (!Array.isArray(operations))
    throw errors.badRequest(`json: cannot unmarshal ${typeof operations} into Go value of type jsonpatch.Patch`);
  const max = limits.jsonPatchOperationsMax;
  if (operations.length > max)
    throw errors.tooLarge(
      `Request entity too large: The allowed maximum operations in a JSON patch is ${max}, got ${operations.length}`,
    );
  const document = new PatchedDocument(object);
  for (const operation of operations as readonly Json[]) apply(document, operation);
  return document.root;
}

/** Upstream tells no more than this about an operation that fails. */
function rejected(why = 'the operation cannot be applied'): Error {
  const error = errors.other('Invalid', 'the server rejected our request due to an error in our request', {}, 422);
  return Object.assign(error, { cause: new Error(why) });
}

const testFailed = 'testing value failed: test failed';

/** Whether a patch was not applied because one of its tests said no. */
export function isFailedTest(error: unknown): boolean {
  return error instanceof Error && error.cause instanceof Error && error.cause.message === testFailed;
}

function apply(document: PatchedDocument, operation: Json): void {
  if (!isObject(operation))
    throw errors.badRequest('json: cannot unmarshal value into Go value of type jsonpatch.Operation');
  const path = pointer(operation, 'path');
  switch (operation['op']) {
    case 'add':
      return document.add(path, valueOf(operation));
    case 'remove':
      document.remove(path);
      return;
    case 'replace':
      return document.replace(path, valueOf(operation));
    case 'move': {
      const from = pointer(operation, 'from');
      if (path.length > from.length && from.every((token, index) => token === path[index])) throw rejected();
      return document.add(path, document.remove(from));
    }
    case 'copy':
      return document.copy(pointer(operation, 'from'), path);
    case 'test':
      if (!deepEqual(document.find(path) ?? null, (operation['value'] as Json | undefined) ?? null))
        throw rejected(testFailed);
      return;
    default:
      throw rejected();
  }
}

function valueOf(operation: { readonly [key: string]: Json | undefined }): Json {
  if (!Object.hasOwn(operation, 'value')) throw rejected();
  return operation['value'] as Json;
}

/** RFC 6901 */
function pointer(operation: { readonly [key: string]: Json | undefined }, name: 'path' | 'from'): string[] {
  const text = Object.hasOwn(operation, name) ? operation[name] : undefined;
  if (typeof text !== 'string' || (text !== '' && !text.startsWith('/'))) throw rejected();
  if (/~(?![01])/.test(text)) throw rejected();
  return text
    .split('/')
    .slice(1)
    .map(token => token.replaceAll('~1', '/').replaceAll('~0', '~'));
}

/** The document while it is patched: knows which containers are its own copies. */
class PatchedDocument {
  root: Json;
  readonly #owned = new Set<Json>();
  #copiedBytes = 0;

  constructor(root: Json) {
    this.root = root;
  }

  find(path: readonly string[]): Json | undefined {
    let at: Json | undefined = this.root;
    for (const [depth, token] of path.entries()) {
      if (Array.isArray(at)) at = at[indexIn(token, at.length - 1)];
      else if (isObject(at)) {
        if (!Object.hasOwn(at, token)) {
          if (depth < path.length - 1) throw rejected();
          return undefined;
        }
        at = at[token];
      } else throw rejected();
    }
    return at;
  }

  add(path: readonly string[], value: Json): void {
    const token = path.at(-1);
    // Upstream's library puts nothing in place of the whole, except by `replace`.
    if (token === undefined) throw rejected();
    const parent = this.#ownedParent(path);
    if (Array.isArray(parent)) parent.splice(token === '-' ? parent.length : indexIn(token, parent.length), 0, value);
    else setOwn(parent, token, value);
  }

  replace(path: readonly string[], value: Json): void {
    const token = path.at(-1);
    if (token === undefined) {
      this.root = value;
      return;
    }
    const parent = this.#ownedParent(path);
    if (Array.isArray(parent)) parent[indexIn(token, parent.length - 1)] = value;
    // It need not be there: so reads upstream's library the standard.
    else setOwn(parent, token, value);
  }

  remove(path: readonly string[]): Json {
    const token = path.at(-1);
    if (token === undefined) throw rejected();
    const parent = this.#ownedParent(path);
    if (Array.isArray(parent)) return parent.splice(indexIn(token, parent.length - 1), 1)[0] as Json;
    if (!Object.hasOwn(parent, token)) throw rejected(`Unable to remove nonexistent key: ${token}: missing value`);
    const value = parent[token] as Json;
    delete parent[token];
    return value;
  }

  /** A chain of copies doubles a document each time; upstream bounds the bytes that all copies make. */
  copy(from: readonly string[], path: readonly string[]): void {
    const value = this.find(from);
    if (value === undefined) throw rejected();
    this.#copiedBytes += encodeJson(value).length;
    if (this.#copiedBytes > limits.requestBodyBytesMax) throw rejected();
    this.add(path, clone(value));
  }

  /** The container that holds the path's last token; it and all around it become copies of our own. */
  #ownedParent(path: readonly string[]): Json[] | Record<string, Json> {
    let parent = this.#own(this.root);
    this.root = parent;
    for (const token of path.slice(0, -1)) {
      const key = Array.isArray(parent) ? indexIn(token, parent.length - 1) : token;
      if (!Object.hasOwn(parent, key)) throw rejected();
      const child = this.#own((parent as Record<string | number, Json>)[key] as Json);
      if (typeof key === 'number') (parent as Json[])[key] = child;
      else setOwn(parent as Record<string, Json>, key, child);
      parent = child;
    }
    return parent;
  }

  #own(container: Json): Json[] | Record<string, Json> {
    if (typeof container !== 'object' || container === null) throw rejected();
    if (this.#owned.has(container)) return container as Json[];
    const copy = Array.isArray(container) ? [...(container as Json[])] : shallowCopy(container as Record<string, Json>);
    this.#owned.add(copy);
    return copy;
  }
}

/** An index of at most `max`, without leading zeros. */
function indexIn(token: string, max: number): number {
  if (!/^(0|[1-9][0-9]{0,8})$/.test(token) || Number(token) > max) throw rejected();
  return Number(token);
}

function isObject(value: Json | undefined): value is { readonly [key: string]: Json | undefined } {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function shallowCopy(object: Record<string, Json>): Record<string, Json> {
  const copy: Record<string, Json> = {};
  for (const key in object) setOwn(copy, key, object[key] as Json);
  return copy;
}

function clone(value: Json): Json {
  if (Array.isArray(value)) return (value as readonly Json[]).map(clone);
  if (!isObject(value)) return value;
  const copy: Record<string, Json> = {};
  for (const key in value) setOwn(copy, key, clone(value[key] as Json));
  return copy;
}
