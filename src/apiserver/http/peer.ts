import { X509Certificate } from 'node:crypto';
import type { DetailedPeerCertificate, PeerCertificate, TLSSocket } from 'node:tls';

/** Who is at the other end, as far as TLS knows. */
export interface Peer {
  /** Verified against the client authorities. */
  readonly certificate?: PeerCertificate;
  /** Verified against the authorities of front proxies. */
  readonly proxyCertificate?: PeerCertificate;
  readonly address?: string | undefined;
  /** A certificate was shown, and is not to be trusted. */
  readonly refused: boolean;
  /** When the certificate ends; a connection may last longer. */
  readonly expiresMs?: number;
}

/** Authorities that TLS accepts together, and that mean different things. */
export interface PeerTrust {
  readonly client: readonly X509Certificate[];
  readonly proxy: readonly X509Certificate[];
}

const peers = new WeakMap<TLSSocket, Peer>();
const trusts = new WeakMap<TLSSocket, PeerTrust>();
const nobody: Peer = { refused: false };

/** Tells which authorities are behind this connection's handshake; without it every verified certificate is a client's. */
export function trustOf(socket: TLSSocket, trust: PeerTrust): void {
  trusts.set(socket, trust);
}

/** Parsing a certificate costs more than answering a request: once a connection. */
export function peerOf(socket: TLSSocket): Peer {
  let peer = peers.get(socket);
  if (!peer) {
    peer = { ...read(socket), address: socket.remoteAddress };
    peers.set(socket, peer);
  }
  return peer;
}

function read(socket: TLSSocket): Peer {
  if (typeof socket.getPeerCertificate !== 'function') return nobody;
  const certificate = socket.getPeerCertificate();
  // Without a client certificate `authorizationError` is set too: an empty certificate says so first.
  if (!certificate || Object.keys(certificate).length === 0) return nobody;
  if (!socket.authorized) return { refused: true };
  const trust = trusts.get(socket);
  const expiresMs = Date.parse(certificate.valid_to);
  if (!trust) return { certificate, expiresMs, refused: false };
  const shown = chainOf(socket.getPeerCertificate(true));
  const isClient = leadsTo(shown, trust.client);
  const isProxy = leadsTo(shown, trust.proxy);
  if (!isClient && !isProxy) return { refused: true };
  return {
    ...(isClient && { certificate }),
    ...(isProxy && { proxyCertificate: certificate }),
    expiresMs,
    refused: false,
  };
}

/** What the other end showed, its own certificate first. */
function chainOf(first: DetailedPeerCertificate): X509Certificate[] {
  const chain: X509Certificate[] = [];
  let next: DetailedPeerCertificate | undefined = first;
  while (next?.raw && chain.length < chainLengthMax) {
    chain.push(new X509Certificate(next.raw));
    next = next.issuerCertificate === next ? undefined : next.issuerCertificate;
  }
  return chain;
}

const chainLengthMax = 8;

/** Whether each certificate is signed by the next one, up to one that an authority has signed. Names alone prove nothing. */
function leadsTo(chain: readonly X509Certificate[], authorities: readonly X509Certificate[]): boolean {
  for (const [position, certificate] of chain.entries()) {
    const signed = (by: X509Certificate) => certificate.checkIssued(by) && certificate.verify(by.publicKey);
    if (authorities.some(each => each.raw.equals(certificate.raw) || signed(each))) return true;
    const issuer = chain[position + 1];
    if (!issuer?.ca || !signed(issuer)) return false;
  }
  return false;
}
