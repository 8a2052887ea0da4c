import type { Trial } from './conformance.ts';
import { define, definitionOf, type Defined } from './custom.ts';
import { startWebhookServer } from './webhook-server.ts';

interface ConvertedWish {
  readonly stored: 'v1' | 'v2';
  readonly selectable?: boolean;
}

/** A kind whose v1 has `hostPort` and whose v2 has `host` and `port`, with a webhook that makes one of the other. */
export async function defineConverted(t: Trial, { stored, selectable = false }: ConvertedWish): Promise<Defined> {
  const server = await startWebhookServer(t, {
    convert: `
      const convertedObjects = request.objects.map(({ hostPort, host, port, ...rest }) => {
        const [first, second] = hostPort?.split(':') ?? [host, port];
        const fields = request.desiredAPIVersion.endsWith('/v1') ? { hostPort: first + ':' + second } : { host: first, port: second };
        return { ...rest, apiVersion: request.desiredAPIVersion, ...fields };
      });
      return { convertedObjects, result: { status: 'Success' } };`,
  });
  const version = (name: string, ...fields: readonly string[]) => ({
    name,
    served: true,
    storage: name === stored,
    schema: {
      openAPIV3Schema: {
        type: 'object',
        properties: Object.fromEntries(fields.map(field => [field, { type: 'string' }])),
      },
    },
    ...(selectable && { selectableFields: fields.map(field => ({ jsonPath: `.${field}` })) }),
  });
  const webhook = { clientConfig: server.clientConfig('convert'), conversionReviewVersions: ['v1', 'v1beta1'] };
  return define(
    t,
    definitionOf(t, {
      conversion: { strategy: 'Webhook', webhook },
      versions: [version('v1', 'hostPort'), version('v2', 'host', 'port')] as never,
    }),
  );
}
