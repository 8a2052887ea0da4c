import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Service } from '#api/core/v1/service.ts';
import type { Trial } from './conformance.ts';
import { nodeProgram, readyPod } from './pods.ts';

/** A webhook in a pod behind a Service, as a configuration names it. */
export interface WebhookServer {
  /** For `clientConfig`: reaches the handler of this name. */
  clientConfig(handler: string): {
    readonly service: {
      readonly namespace: string;
      readonly name: string;
      readonly path: string;
      readonly port: number;
    };
    readonly caBundle: string;
  };
}

/**
 * Starts one whose handlers are the bodies of functions of `request` (of an AdmissionReview or ConversionReview) that
 * return the response without its uid, or a promise of it. Resolves when its Service reaches it.
 */
export async function startWebhookServer(t: Trial, handlers: Readonly<Record<string, string>>): Promise<WebhookServer> {
  const name = 'e2e-test-webhook';
  const { caPem, certPem, keyPem } = issue(`${name}.${t.namespace}.svc`);
  const { container, volumes } = nodeProgram(programOf(handlers, certPem, keyPem));
  const readinessProbe = { httpGet: { path: '/readyz', port: 8443, scheme: 'HTTPS' }, periodSeconds: 1 };
  await t.client.create(
    Service,
    { metadata: { name }, spec: { selector: { app: name }, ports: [{ port: 8443, targetPort: 8443 }] } },
    { namespace: t.namespace },
  );
  await readyPod(t, {
    name,
    labels: { app: name },
    container: { ...container, readinessProbe },
    ...(volumes && { volumes }),
  });
  await t.eventually('the Service has the webhook', async () => {
    const slices = await t.kubectl(
      'get',
      'endpointslices',
      `--selector=kubernetes.io/service-name=${name}`,
      '--output=jsonpath={.items[*].endpoints[*].conditions.ready}',
    );
    return slices.includes('true');
  });
  return {
    clientConfig: handler => ({
      service: { namespace: t.namespace, name, path: `/${handler}`, port: 8443 },
      caBundle: Buffer.from(caPem).toString('base64'),
    }),
  };
}

function programOf(handlers: Readonly<Record<string, string>>, cert: string, key: string): string {
  const table = Object.entries(handlers).map(
    ([name, body]) => `${JSON.stringify(name)}: async request => { ${body} },`,
  );
  return `
    import { createServer } from 'node:https';
    const patch = (...operations) => ({ allowed: true, patchType: 'JSONPatch', patch: Buffer.from(JSON.stringify(operations)).toString('base64') });
    const deny = message => ({ allowed: false, status: { message } });
    const allow = { allowed: true };
    const pause = seconds => new Promise(resolve => setTimeout(resolve, seconds * 1000));
    const handlers = { ${table.join('\n')} };
    createServer({ cert: ${JSON.stringify(cert)}, key: ${JSON.stringify(key)} }, (asked, answer) => {
      const handler = handlers[asked.url.split('?')[0].slice(1)];
      if (!handler) return answer.end('ok');
      let text = '';
      asked.on('data', piece => { text += piece; });
      asked.on('end', async () => {
        const { apiVersion, kind, request } = JSON.parse(text);
        const response = { uid: request.uid, ...await handler(request) };
        answer.setHeader('content-type', 'application/json');
        answer.end(JSON.stringify({ apiVersion, kind, response }));
      });
    }).listen(8443);
    process.on('SIGTERM', () => process.exit(0));`;
}

/** A certificate for a DNS name by an authority of its own. */
function issue(host: string): { readonly caPem: string; readonly certPem: string; readonly keyPem: string } {
  const directory = mkdtempSync(join(tmpdir(), 'windlass-webhook-'));
  const openssl = (...words: readonly string[]) =>
    execFileSync('openssl', words, { cwd: directory, stdio: ['ignore', 'pipe', 'ignore'] });
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  const read = (file: string) => readFileSync(join(directory, file), 'utf8');
  try {
    openssl(
      'req',
      '-x509',
      ...newKey,
      '-keyout',
      'ca.key',
      '-out',
      'ca.crt',
      '-subj',
      '/CN=e2e-webhook-ca',
      '-days',
      '2',
    );
    openssl(
      'req',
      '-new',
      ...newKey,
      '-keyout',
      'server.key',
      '-out',
      'server.csr',
      '-subj',
      `/CN=${host.slice(0, 60)}`,
    );
    writeFileSync(join(directory, 'extensions'), `subjectAltName=DNS:${host}\n`);
    openssl(
      'x509',
      '-req',
      '-in',
      'server.csr',
      '-CA',
      'ca.crt',
      '-CAkey',
      'ca.key',
      '-CAcreateserial',
      '-out',
      'server.crt',
      '-days',
      '2',
      '-extfile',
      'extensions',
    );
    return { caPem: read('ca.crt'), certPem: read('server.crt'), keyPem: read('server.key') };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
