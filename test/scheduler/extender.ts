import { createServer } from 'node:https';
import { Pod } from '#api/core/v1/pod.ts';
import { httpsClient, type HttpsClient, type HttpsClientOptions } from '#client/https.ts';

/*
 * A scheduler extender as a program of its own: HTTPS, upstream's protocol, and a list of what it was asked. It takes nodes
 * that are labelled `extended`, likes the label `favourite`, lets nobody be evicted from a node labelled `keep`, and binds
 * nothing itself, but sends the binding on.
 */

interface Labelled {
  readonly metadata: { readonly name: string; readonly labels?: Readonly<Record<string, string>> };
}

interface Arguments {
  readonly pod?: { readonly metadata: { readonly name: string } };
  readonly nodes?: { readonly items: readonly Labelled[] };
  readonly nodenames?: readonly string[];
  readonly nodeNameToVictims?: Readonly<Record<string, { readonly pods: readonly Victim[] }>>;
  readonly podName?: string;
  readonly podNamespace?: string;
  readonly podUID?: string;
  readonly node?: string;
}

interface Victim {
  readonly metadata: { readonly uid: string };
}

const { CERT = '', KEY = '' } = process.env;
let client: HttpsClient | undefined;
const asked: string[] = [];

const server = createServer({ cert: CERT, key: KEY }, (request, response) => {
  const chunks: Buffer[] = [];
  request.on('data', (chunk: Buffer) => chunks.push(chunk));
  request.on('end', () => {
    const verb = request.url ?? '';
    if (verb === '/asked') return void response.end(JSON.stringify(asked));
    const given = JSON.parse(Buffer.concat(chunks).toString()) as Arguments;
    asked.push(`${verb} ${given.pod?.metadata.name ?? given.podName}`);
    answer(verb, given).then(
      body => response.end(JSON.stringify(body)),
      (error: unknown) => response.writeHead(500).end(String(error)),
    );
  });
});

async function answer(verb: string, given: Arguments): Promise<unknown> {
  const items = given.nodes?.items ?? [];
  const has = (node: Labelled, label: string) => node.metadata.labels?.[label] !== undefined;
  switch (verb) {
    case '/api/filter': {
      if (given.pod?.metadata.name === 'broken') return { error: 'this pod breaks me' };
      const left = items.filter(node => has(node, 'extended'));
      const failed = items.filter(node => !has(node, 'extended'));
      const failedNodes = Object.fromEntries(failed.map(node => [node.metadata.name, 'not extended']));
      return { nodes: { items: left }, failedNodes };
    }
    case '/api/prioritize':
      return items.map(node => ({ host: node.metadata.name, score: has(node, 'favourite') ? 10 : 0 }));
    case '/api/preempt': {
      const kept = Object.entries(given.nodeNameToVictims ?? {}).filter(([name]) => name !== 'node-1');
      const victims = kept.map(([name, { pods }]) => [name, { pods: pods.map(pod => ({ uid: pod.metadata.uid })) }]);
      return { nodeNameToMetaVictims: Object.fromEntries(victims) };
    }
    case '/api/bind': {
      const { podName: name = '', podNamespace: namespace = '', podUID: uid, node } = given;
      const metadata = { name, namespace, uid };
      const body = { apiVersion: 'v1', kind: 'Binding', metadata, target: { kind: 'Node', name: node } };
      await client?.createSubresource(Pod, name, 'binding', body, { namespace });
      return {};
    }
    default:
      throw new Error(`there is no ${verb}`);
  }
}

server.listen(0, '127.0.0.1', () => {
  const address = server.address();
  process.send?.(typeof address === 'object' ? address?.port : undefined);
});
/** How to reach the cluster, which starts after the extender. */
process.once('message', message => {
  client = httpsClient(message as HttpsClientOptions);
});
process.once('disconnect', () => process.exit());
