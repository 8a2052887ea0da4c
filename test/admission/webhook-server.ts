/**
 * A server of admission webhooks, for the tests: `node webhook-server.ts` with its settings as JSON in the environment. Its
 * paths are what it does.
 */
import { createServer } from 'node:https';

interface Settings {
  readonly host: string;
  readonly certPem: string;
  readonly keyPem: string;
}

interface Review {
  readonly apiVersion: string;
  readonly request: {
    readonly uid: string;
    readonly operation: string;
    readonly dryRun: boolean;
    readonly resource: { readonly group: string; readonly version: string; readonly resource: string };
    readonly requestResource: { readonly version: string };
    readonly object: { readonly apiVersion: string; readonly metadata: { readonly labels?: object } } | null;
  };
}

const settings = JSON.parse(process.env['WEBHOOK_SERVER'] ?? '{}') as Settings;

const patch = (...operations: object[]) => ({
  allowed: true,
  patchType: 'JSONPatch',
  patch: Buffer.from(JSON.stringify(operations)).toString('base64'),
});

const answers: Readonly<Record<string, (review: Review) => object>> = {
  '/version': ({ request }) => {
    const { resource, requestResource, object } = request;
    const value = `${resource.version}-${object?.apiVersion.split('/').at(-1)}-from-${requestResource.version}`;
    return patch(...(object?.metadata.labels ? [] : [{ op: 'add', path: '/metadata/labels', value: {} }]), {
      op: 'add',
      path: '/metadata/labels/seen-as',
      value,
    });
  },
  '/sidecar': ({ request }) =>
    JSON.stringify(request.object).includes('"side"')
      ? { allowed: true }
      : patch({ op: 'add', path: '/spec/containers/-', value: { name: 'side', image: 'side:v1' } }),
  '/deny': ({ request }) => ({
    allowed: false,
    status: {
      code: 403,
      reason: 'Forbidden',
      message: `${request.operation} of ${request.resource.resource} is not wanted`,
    },
    warnings: ['somebody is watching'],
  }),
};

createServer({ cert: settings.certPem, key: settings.keyPem }, async (request, response) => {
  const chunks: Uint8Array[] = [];
  for await (const chunk of request as AsyncIterable<Uint8Array>) chunks.push(chunk);
  const { pathname } = new URL(request.url ?? '/', 'https://webhook');
  // Never an answer, until the client gives up.
  if (pathname === '/silent') return;
  const review = JSON.parse(Buffer.concat(chunks).toString()) as Review;
  const answer = answers[pathname]?.(review);
  if (!answer) return void response.writeHead(404).end('no such webhook');
  response.setHeader('content-type', 'application/json');
  response.end(
    JSON.stringify({
      apiVersion: review.apiVersion,
      kind: 'AdmissionReview',
      response: { uid: review.request.uid, ...answer },
    }),
  );
}).listen(0, settings.host, function (this: { address(): { port: number } | string | null }) {
  const address = this.address();
  process.stdout.write(`listening ${typeof address === 'object' ? address?.port : ''}\n`);
} as () => void);
