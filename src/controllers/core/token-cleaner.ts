import { Secret } from '#api/core/v1/secret.ts';
import { remove, wake } from '../actions.ts';
import { defineController } from '../controller.ts';
import { timeMs } from '../time.ts';

/** Removes bootstrap tokens that have expired. */
export const tokenCleaner = defineController({
  name: 'token-cleaner',
  reconciles: Secret,
  concerns: ({ type, metadata, data }) =>
    type === 'bootstrap.kubernetes.io/token' && metadata.namespace === 'kube-system' && data?.expiration !== undefined,
  reads: {},
  writes: [Secret],
  decide(secret, { nowMs }) {
    const expiration = Buffer.from(secret.data?.expiration ?? '', 'base64').toString('utf8');
    // A time that cannot be read makes no token valid, and nothing to wait for.
    const expiresMs = timeMs(expiration);
    return expiresMs > nowMs ? [wake(expiresMs)] : [remove(Secret, secret)];
  },
});
