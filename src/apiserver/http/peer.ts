import type { PeerCertificate, TLSSocket } from 'node:tls';

/** Who is at the other end, as far as TLS knows. */
export interface Peer {
  /** Verified against the client authorities. */
  readonly certificate?: PeerCertificate;
  /** A certificate was shown, and is not to be trusted. */
  readonly refused: boolean;
}

const peers = new WeakMap<TLSSocket, Peer>();
const nobody: Peer = { refused: false };

/** Parsing a certificate costs more than answering a request: once a connection. */
export function peerOf(socket: TLSSocket): Peer {
  let peer = peers.get(socket);
  if (!peer) {
    peer = read(socket);
    peers.set(socket, peer);
  }
  return peer;
}

function read(socket: TLSSocket): Peer {
  if (typeof socket.getPeerCertificate !== 'function') return nobody;
  const certificate = socket.getPeerCertificate();
  // Without a client certificate `authorizationError` is set too: an empty certificate says so first.
  if (!certificate || Object.keys(certificate).length === 0) return nobody;
  return socket.authorized ? { certificate, refused: false } : { refused: true };
}
