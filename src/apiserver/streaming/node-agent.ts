import { Agent } from 'node:https';
import { errors } from '#api/machinery/errors.ts';
import { Node } from '#api/core/v1/node.ts';
import type { Client } from '#client/client.ts';
import type { Backend } from './backend.ts';

/** Finds node agents and holds the connections to them. */
export interface NodeAgents extends Disposable {
  /** The server of a node's agent, with the API server's own client certificate. */
  of(nodeName: string): Promise<Backend>;
}

const defaultPort = 10250;
/** Which address is tried, in this order. */
const addressTypes = ['InternalIP', 'ExternalIP', 'InternalDNS', 'Hostname', 'ExternalDNS'];
const idleConnectionsMax = 16;

export function nodeAgents(options: {
  readonly client: Client;
  /** The API server's own, as it is now. */
  readonly certificate: () => { readonly certPem: string; readonly keyPem: string };
  /** Who signs the certificates of node agents' servers. Absent: they are not verified. */
  readonly caPem?: string;
}): NodeAgents {
  const agent = new Agent({ keepAlive: true, maxFreeSockets: idleConnectionsMax });
  const { client, certificate, caPem } = options;
  return {
    async of(nodeName) {
      const node = await client.get(Node, nodeName, { resourceVersion: '0' });
      const host = addressOf(node);
      if (host === undefined)
        throw errors.other('', `no preferred addresses found; known addresses: []`, undefined, 500);
      const { certPem, keyPem } = certificate();
      return {
        scheme: 'https',
        host,
        port: node.status?.daemonEndpoints?.kubeletEndpoint?.Port || defaultPort,
        tls: {
          cert: certPem,
          key: keyPem,
          ...(caPem !== undefined && { ca: caPem, serverName: nodeName }),
          agent,
        },
      };
    },
    [Symbol.dispose]: () => agent.destroy(),
  };
}

function addressOf(node: Node): string | undefined {
  const addresses = node.status?.addresses ?? [];
  for (const type of addressTypes) {
    const found = addresses.find(each => each.type === type);
    if (found) return found.address;
  }
  return undefined;
}
