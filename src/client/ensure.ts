import { isReason } from '#api/machinery/errors.ts';
import type { ApiObject, Kind, Partly } from '#api/machinery/kind.ts';
import type { Client } from './client.ts';

/**
 * Creates an object that everybody expects, unless it is there. Looked for first: creating it again could fail on what its
 * first self has taken, such as an address.
 */
export async function createIfAbsent<Type extends ApiObject>(
  client: Client,
  kind: Kind<Type>,
  object: Partly<Type>,
): Promise<void> {
  const { name = '', namespace } = object.metadata ?? {};
  const where = namespace === undefined ? {} : { namespace };
  try {
    await client.get(kind, name, where);
  } catch (error) {
    if (!isReason(error, 'NotFound')) throw error;
    try {
      await client.create(kind, object, where);
    } catch (again) {
      // Somebody else was faster.
      if (!isReason(again, 'AlreadyExists')) throw again;
    }
  }
}

/** Brings an object to what is wanted, creating it where it is missing. What is not mentioned stays as it is. */
export async function createOrPatch<Type extends ApiObject>(
  client: Client,
  kind: Kind<Type>,
  object: Partly<Type>,
): Promise<void> {
  const { name = '', namespace } = object.metadata ?? {};
  const where = namespace === undefined ? {} : { namespace };
  try {
    await client.patch(kind, name, { type: 'merge', patch: object }, where);
  } catch (error) {
    if (!isReason(error, 'NotFound')) throw error;
    await createIfAbsent(client, kind, object);
  }
}
