import { formatIp, parseCidr, parseIp, type IpNetwork } from '../ip.ts';

// The wire format of rtnetlink: rtnetlink(7), linux/if_link.h, linux/if_bridge.h. Little-endian like every machine we run on.

/** One change of links, addresses, routes or neighbours. Names are names of links in the namespace it runs in. */
export type LinkChange =
  | { readonly do: 'addBridge'; readonly name: string; readonly mtu?: number; readonly mac?: string }
  | {
      readonly do: 'addVeth';
      readonly name: string;
      readonly mtu: number;
      readonly master?: string;
      /** The other end is born in its namespace, down: the kernel refuses to bring up one end of a pair in the making. */
      readonly peer: { readonly name: string; readonly mac?: string; readonly netnsPath: string };
    }
  | {
      readonly do: 'addVxlan';
      readonly name: string;
      readonly mtu: number;
      readonly mac: string;
      /** The network's number, 24 bits. */
      readonly vni: number;
      readonly port: number;
      /** The address that this machine sends from. Nothing is learned from what arrives. */
      readonly local: string;
    }
  | {
      readonly do: 'setLink';
      readonly name: string;
      readonly up?: boolean;
      readonly mtu?: number;
      readonly master?: string;
      /** Links of one group can be deleted together. */
      readonly group?: number;
    }
  | {
      readonly do: 'setBridgePort';
      readonly name: string;
      readonly hairpin: boolean;
      readonly learning: boolean;
      readonly unicastFlood: boolean;
      /** Only senders with a forwarding entry on this port (Linux 5.18; ignored before). */
      readonly locked?: boolean;
    }
  | { readonly do: 'deleteLink'; readonly name: string }
  /** The kernel waits for other processors once, not once a link. */
  | { readonly do: 'deleteGroup'; readonly group: number }
  | { readonly do: 'addAddress' | 'deleteAddress'; readonly link: string; readonly address: string }
  | {
      readonly do: 'addRoute' | 'deleteRoute';
      readonly link: string;
      /** A CIDR; `0.0.0.0/0` and `::/0` are the default routes. */
      readonly destination: string;
      readonly gateway?: string;
      /** The gateway is reachable on the link though no address says so. */
      readonly onLink?: boolean;
      /** What the machine's own packets say where they come from. */
      readonly source?: string;
      /** Who has made the route, a number above 4; routes are found again by it. Adding replaces what is there. */
      readonly protocol?: number;
    }
  | {
      readonly do: 'addNeighbour' | 'deleteNeighbour';
      readonly link: string;
      readonly address: string;
      readonly mac: string;
    }
  /** An entry of the bridge's forwarding table for one of its ports. */
  | { readonly do: 'addForwarding'; readonly link: string; readonly mac: string }
  /** An entry of a VXLAN link's forwarding table: the machine behind which a hardware address is. */
  | {
      readonly do: 'addTunnelEnd' | 'deleteTunnelEnd';
      readonly link: string;
      readonly mac: string;
      readonly machine: string;
    };

export interface Link {
  readonly index: number;
  readonly name: string;
  /** `bridge`, `veth`, …; empty for hardware. */
  readonly kind: string;
  readonly mac: string;
  readonly mtu: number;
  readonly up: boolean;
  /** The index of the bridge that it is a port of. */
  readonly master: number | undefined;
}

/** What a change needs to know from the namespace it is made in. */
export interface EncodeContext {
  indexOf(link: string): number;
  openNetns(path: string): number;
}

const flag = { request: 1, ack: 4, exclusive: 0x200, create: 0x400, replace: 0x100, dump: 0x300 } as const;
const family = { unspecified: 0, inet: 2, bridge: 7, inet6: 10 } as const;
const messageType = {
  newLink: 16,
  deleteLink: 17,
  getLink: 18,
  setLink: 19,
  newAddress: 20,
  deleteAddress: 21,
  newRoute: 24,
  deleteRoute: 25,
  newNeighbour: 28,
  deleteNeighbour: 29,
} as const;
const linkAttribute = {
  address: 1,
  name: 3,
  mtu: 4,
  master: 10,
  protinfo: 12,
  info: 18,
  group: 27,
  netnsFd: 28,
} as const;
const interfaceUp = 1;

export function encodeChange(change: LinkChange, context: EncodeContext): Buffer {
  const ack = flag.request | flag.ack;
  const create = ack | flag.create | flag.exclusive;
  switch (change.do) {
    case 'addBridge': {
      const { name, mtu, mac } = change;
      const attributes = [attribute(linkAttribute.name, text(name)), info('bridge')];
      if (mtu !== undefined) attributes.push(attribute(linkAttribute.mtu, u32(mtu)));
      if (mac !== undefined) attributes.push(attribute(linkAttribute.address, hardware(mac)));
      return message(messageType.newLink, create, linkHeader({ up: true }), ...attributes);
    }
    case 'addVeth': {
      const { name, mtu, master, peer } = change;
      const end = [
        linkHeader({}),
        attribute(linkAttribute.name, text(peer.name)),
        attribute(linkAttribute.mtu, u32(mtu)),
        attribute(linkAttribute.netnsFd, u32(context.openNetns(peer.netnsPath))),
      ];
      if (peer.mac !== undefined) end.push(attribute(linkAttribute.address, hardware(peer.mac)));
      const vethPeer = 1;
      const attributes = [
        attribute(linkAttribute.name, text(name)),
        attribute(linkAttribute.mtu, u32(mtu)),
        info('veth', attribute(vethPeer, ...end)),
      ];
      if (master !== undefined) attributes.push(attribute(linkAttribute.master, u32(context.indexOf(master))));
      return message(messageType.newLink, create, linkHeader({ up: true }), ...attributes);
    }
    case 'addVxlan': {
      const { name, mtu, mac, vni, port, local } = change;
      const [id, localV4, learning, destinationPort, localV6] = [1, 4, 7, 15, 17];
      const { bytes, family: ofFamily } = addressBytes(local);
      return message(
        messageType.newLink,
        create,
        linkHeader({ up: true }),
        attribute(linkAttribute.name, text(name)),
        attribute(linkAttribute.mtu, u32(mtu)),
        attribute(linkAttribute.address, hardware(mac)),
        info(
          'vxlan',
          attribute(id, u32(vni)),
          attribute(ofFamily === family.inet ? localV4 : localV6, bytes),
          attribute(learning, u8(false)),
          attribute(destinationPort, u16BigEndian(port)),
        ),
      );
    }
    case 'setLink': {
      const { name, up, mtu, master, group } = change;
      const attributes: Buffer[] = [];
      if (group !== undefined) attributes.push(attribute(linkAttribute.group, u32(group)));
      if (mtu !== undefined) attributes.push(attribute(linkAttribute.mtu, u32(mtu)));
      if (master !== undefined) attributes.push(attribute(linkAttribute.master, u32(context.indexOf(master))));
      return message(messageType.newLink, ack, linkHeader({ index: context.indexOf(name), up }), ...attributes);
    }
    case 'setBridgePort': {
      const [mode, learning, unicastFlood, locked] = [4, 8, 9, 39];
      const port = attribute(
        linkAttribute.protinfo | nested,
        attribute(mode, u8(change.hairpin)),
        attribute(learning, u8(change.learning)),
        attribute(unicastFlood, u8(change.unicastFlood)),
        attribute(locked, u8(change.locked ?? false)),
      );
      const header = linkHeader({ index: context.indexOf(change.name), family: family.bridge });
      return message(messageType.setLink, ack, header, port);
    }
    case 'deleteLink':
      return message(messageType.deleteLink, ack, linkHeader({ index: context.indexOf(change.name) }));
    case 'deleteGroup':
      return message(messageType.deleteLink, ack, linkHeader({}), attribute(linkAttribute.group, u32(change.group)));
    case 'addAddress':
    case 'deleteAddress':
      return encodeAddress(change, context, change.do === 'addAddress' ? create : ack);
    case 'addRoute':
    case 'deleteRoute':
      return encodeRoute(
        change,
        context,
        change.do === 'deleteRoute' ? ack : change.protocol === undefined ? create : ack | flag.create | flag.replace,
      );
    case 'addNeighbour':
    case 'deleteNeighbour': {
      const address = addressBytes(change.address);
      const [destination, linkLayer, permanent] = [1, 2, 0x80];
      const header = neighbourHeader(address.family, context.indexOf(change.link), permanent, 0);
      const [type, flags] =
        change.do === 'addNeighbour'
          ? [messageType.newNeighbour, ack | flag.create | flag.replace]
          : [messageType.deleteNeighbour, ack];
      const attributes = [attribute(destination, address.bytes), attribute(linkLayer, hardware(change.mac))];
      return message(type, flags, header, ...attributes);
    }
    case 'addForwarding': {
      const [linkLayer, ofMaster, permanentNoArp] = [2, 4, 0x40];
      const header = neighbourHeader(family.bridge, context.indexOf(change.link), permanentNoArp, ofMaster);
      const flags = ack | flag.create | flag.replace;
      return message(messageType.newNeighbour, flags, header, attribute(linkLayer, hardware(change.mac)));
    }
    case 'addTunnelEnd':
    case 'deleteTunnelEnd': {
      const [destination, linkLayer, ofLink, permanentNoArp] = [1, 2, 2, 0xc0];
      const header = neighbourHeader(family.bridge, context.indexOf(change.link), permanentNoArp, ofLink);
      const [type, flags] =
        change.do === 'addTunnelEnd'
          ? [messageType.newNeighbour, ack | flag.create | flag.replace]
          : [messageType.deleteNeighbour, ack];
      const attributes = [
        attribute(linkLayer, hardware(change.mac)),
        attribute(destination, addressBytes(change.machine).bytes),
      ];
      return message(type, flags, header, ...attributes);
    }
  }
}

export function encodeLinkDump(): Buffer {
  return message(messageType.getLink, flag.request | flag.dump, linkHeader({}));
}

/** What one datagram of the kernel's answer says: links of a dump, and whether the answer is complete. */
export interface Answer {
  readonly links: readonly Link[];
  readonly done: boolean;
  /** 0: no error. */
  readonly errno: number;
}

export function decodeAnswer(datagram: Buffer): Answer {
  const links: Link[] = [];
  const [isError, isDone] = [2, 3];
  for (let at = 0; at + 16 <= datagram.length; ) {
    const length = datagram.readUInt32LE(at);
    const type = datagram.readUInt16LE(at + 4);
    if (length < 16) break;
    const body = datagram.subarray(at + 16, at + length);
    if (type === isError) return { links, done: true, errno: -body.readInt32LE(0) };
    if (type === isDone) return { links, done: true, errno: 0 };
    if (type === messageType.newLink) links.push(decodeLink(body));
    at += aligned(length);
  }
  return { links, done: false, errno: 0 };
}

/** Something that is no more, or no more up. */
export interface Loss {
  readonly of: 'link' | 'address' | 'route' | 'neighbour';
  /** The link, by number; 0 where none is told. */
  readonly index: number;
  /** Of links. */
  readonly name: string;
  /** Of routes: who had made it. */
  readonly protocol: number;
}

/** What one datagram of the kernel's announcements says has gone. */
export function decodeLosses(datagram: Buffer): readonly Loss[] {
  const losses: Loss[] = [];
  for (let at = 0; at + 16 <= datagram.length; ) {
    const length = datagram.readUInt32LE(at);
    if (length < 16) break;
    const body = datagram.subarray(at + 16, at + length);
    const loss = decodeLoss(datagram.readUInt16LE(at + 4), body);
    if (loss) losses.push(loss);
    at += aligned(length);
  }
  return losses;
}

function decodeLoss(type: number, body: Buffer): Loss | undefined {
  switch (type) {
    case messageType.newLink:
    case messageType.deleteLink: {
      const { index, name, up } = decodeLink(body);
      return type === messageType.newLink && up ? undefined : { of: 'link', index, name, protocol: 0 };
    }
    case messageType.deleteAddress:
      return { of: 'address', index: body.readInt32LE(4), name: '', protocol: 0 };
    case messageType.deleteNeighbour:
      return { of: 'neighbour', index: body.readInt32LE(4), name: '', protocol: 0 };
    case messageType.deleteRoute: {
      const outInterface = 4;
      const index = attributesOf(body.subarray(12)).get(outInterface)?.readUInt32LE(0) ?? 0;
      return { of: 'route', index, name: '', protocol: body[5] ?? 0 };
    }
    default:
      return undefined;
  }
}

/** The same change for `ip -batch`; `undefined` where it takes the tool `bridge`. */
export function changeWords(change: LinkChange): readonly string[] {
  const optional = (name: string, value: string | number | undefined) =>
    value === undefined ? [] : [name, String(value)];
  switch (change.do) {
    case 'addBridge':
      return [
        'link add',
        change.name,
        'up',
        ...optional('mtu', change.mtu),
        ...optional('address', change.mac),
        'type bridge',
      ];
    case 'addVeth': {
      const { name, mtu, master, peer } = change;
      const end = ['peer name', peer.name, 'mtu', String(mtu), 'netns', peer.netnsPath];
      return [
        'link add',
        name,
        'up mtu',
        String(mtu),
        ...optional('master', master),
        'type veth',
        ...end,
        ...optional('address', peer.mac),
      ];
    }
    case 'addVxlan': {
      const { name, mtu, mac, vni, port, local } = change;
      const tunnel = ['type vxlan id', String(vni), 'local', local, 'dstport', String(port), 'nolearning'];
      return ['link add', name, 'up mtu', String(mtu), 'address', mac, ...tunnel];
    }
    case 'setLink': {
      const { name, up, mtu, master, group } = change;
      const state = up === undefined ? [] : [up ? 'up' : 'down'];
      return [
        'link set',
        name,
        ...state,
        ...optional('mtu', mtu),
        ...optional('master', master),
        ...optional('group', group),
      ];
    }
    case 'setBridgePort': {
      const on = (value: boolean) => (value ? 'on' : 'off');
      const { name, hairpin, learning, unicastFlood, locked = false } = change;
      const options = [
        'hairpin',
        on(hairpin),
        'learning',
        on(learning),
        'flood',
        on(unicastFlood),
        'locked',
        on(locked),
      ];
      return ['link set', name, 'type bridge_slave', ...options];
    }
    case 'deleteLink':
      return ['link del', change.name];
    case 'deleteGroup':
      return ['link del group', String(change.group)];
    case 'addAddress':
    case 'deleteAddress': {
      const noDetection = change.do === 'addAddress' && change.address.includes(':') ? ['nodad'] : [];
      return [
        change.do === 'addAddress' ? 'address add' : 'address del',
        change.address,
        'dev',
        change.link,
        ...noDetection,
      ];
    }
    case 'addRoute':
    case 'deleteRoute': {
      const { protocol, source } = change;
      const adding = protocol === undefined ? 'route add' : 'route replace';
      const verb = change.do === 'addRoute' ? adding : 'route del';
      return [
        verb,
        change.destination,
        ...optional('via', change.gateway),
        'dev',
        change.link,
        ...(change.onLink ? ['onlink'] : []),
        ...optional('src', source),
        ...optional('proto', protocol),
      ];
    }
    case 'addNeighbour':
      return ['neighbour replace', change.address, 'lladdr', change.mac, 'dev', change.link, 'nud permanent'];
    case 'deleteNeighbour':
      return ['neighbour del', change.address, 'dev', change.link];
    case 'addForwarding':
      return ['fdb replace', change.mac, 'dev', change.link, 'master static'];
    case 'addTunnelEnd':
      return ['fdb replace', change.mac, 'dev', change.link, 'dst', change.machine, 'self permanent'];
    case 'deleteTunnelEnd':
      return ['fdb del', change.mac, 'dev', change.link, 'dst', change.machine, 'self'];
  }
}

type AddressChange = Extract<LinkChange, { do: 'addAddress' | 'deleteAddress' }>;
type RouteChange = Extract<LinkChange, { do: 'addRoute' | 'deleteRoute' }>;

function encodeAddress(change: AddressChange, context: EncodeContext, flags: number): Buffer {
  const { bytes, family: ofFamily, network } = networkBytes(change.address);
  const noDuplicateDetection = 2;
  const header = Buffer.alloc(8);
  header[0] = ofFamily;
  header[1] = network.prefixLength;
  header[2] = ofFamily === family.inet6 ? noDuplicateDetection : 0;
  header.writeUInt32LE(context.indexOf(change.link), 4);
  const [address, local] = [1, 2];
  const type = change.do === 'addAddress' ? messageType.newAddress : messageType.deleteAddress;
  return message(type, flags, header, attribute(local, bytes), attribute(address, bytes));
}

function encodeRoute(change: RouteChange, context: EncodeContext, flags: number): Buffer {
  const { bytes, family: ofFamily, network } = networkBytes(change.destination);
  const [mainTable, staticProtocol, linkScope, unicast, onLink] = [254, 4, 253, 1, 4];
  const header = Buffer.alloc(12);
  header[0] = ofFamily;
  header[1] = network.prefixLength;
  header[4] = mainTable;
  header[5] = change.protocol ?? staticProtocol;
  header[6] = change.gateway === undefined && ofFamily === family.inet ? linkScope : 0;
  header[7] = unicast;
  header.writeUInt32LE(change.onLink ? onLink : 0, 8);
  const [destination, outInterface, gateway, preferredSource] = [1, 4, 5, 7];
  const attributes = [attribute(outInterface, u32(context.indexOf(change.link)))];
  if (network.prefixLength > 0) attributes.push(attribute(destination, bytes));
  if (change.gateway !== undefined) attributes.push(attribute(gateway, addressBytes(change.gateway).bytes));
  if (change.source !== undefined) attributes.push(attribute(preferredSource, addressBytes(change.source).bytes));
  const type = change.do === 'addRoute' ? messageType.newRoute : messageType.deleteRoute;
  return message(type, flags, header, ...attributes);
}

function decodeLink(body: Buffer): Link {
  const values = attributesOf(body.subarray(16));
  const details = values.get(linkAttribute.info);
  const kind = details && attributesOf(details).get(1);
  const mac = values.get(linkAttribute.address);
  return {
    index: body.readInt32LE(4),
    name: textOf(values.get(linkAttribute.name)),
    kind: textOf(kind),
    mac: mac ? [...mac].map(byte => byte.toString(16).padStart(2, '0')).join(':') : '',
    mtu: values.get(linkAttribute.mtu)?.readUInt32LE(0) ?? 0,
    up: (body.readUInt32LE(8) & interfaceUp) !== 0,
    master: values.get(linkAttribute.master)?.readUInt32LE(0),
  };
}

function attributesOf(bytes: Buffer): Map<number, Buffer> {
  const found = new Map<number, Buffer>();
  for (let at = 0; at + 4 <= bytes.length; ) {
    const length = bytes.readUInt16LE(at);
    if (length < 4) break;
    found.set(bytes.readUInt16LE(at + 2) & 0x3fff, bytes.subarray(at + 4, at + length));
    at += aligned(length);
  }
  return found;
}

/** The flag that says an attribute holds attributes. */
const nested = 0x8000;

function message(type: number, flags: number, ...parts: readonly Buffer[]): Buffer {
  const header = Buffer.alloc(16);
  header.writeUInt32LE(16 + parts.reduce((sum, part) => sum + part.length, 0), 0);
  header.writeUInt16LE(type, 4);
  header.writeUInt16LE(flags, 6);
  return Buffer.concat([header, ...parts]);
}

function attribute(type: number, ...values: readonly Buffer[]): Buffer {
  const length = 4 + values.reduce((sum, value) => sum + value.length, 0);
  const bytes = Buffer.alloc(aligned(length));
  bytes.writeUInt16LE(length, 0);
  bytes.writeUInt16LE(type, 2);
  let at = 4;
  for (const value of values) at += value.copy(bytes, at);
  return bytes;
}

/** `ifinfomsg`; `up` undefined leaves the state as it is. */
function linkHeader(link: { readonly index?: number; readonly up?: boolean | undefined; readonly family?: number }) {
  const header = Buffer.alloc(16);
  header[0] = link.family ?? family.unspecified;
  header.writeInt32LE(link.index ?? 0, 4);
  header.writeUInt32LE(link.up ? interfaceUp : 0, 8);
  header.writeUInt32LE(link.up === undefined ? 0 : interfaceUp, 12);
  return header;
}

/** `ndmsg` */
function neighbourHeader(ofFamily: number, index: number, state: number, flags: number): Buffer {
  const header = Buffer.alloc(12);
  header[0] = ofFamily;
  header.writeInt32LE(index, 4);
  header.writeUInt16LE(state, 8);
  header[10] = flags;
  return header;
}

function info(kind: string, ...content: readonly Buffer[]): Buffer {
  const [kindOf, contentOf] = [1, 2];
  const inner = content.length > 0 ? [attribute(contentOf | nested, ...content)] : [];
  return attribute(linkAttribute.info | nested, attribute(kindOf, text(kind)), ...inner);
}

function networkBytes(cidr: string): { bytes: Buffer; family: number; network: IpNetwork } {
  const network = parseCidr(cidr);
  if (!network) throw new Error(`cannot use ${cidr} as an address with prefix: it is none`);
  return { ...addressBytes(formatIp(network.address)), network };
}

function addressBytes(address: string): { bytes: Buffer; family: number } {
  const parsed = parseIp(address);
  if (!parsed) throw new Error(`cannot use ${address} as an address: it is none`);
  const digits = parsed.value.toString(16).padStart(parsed.family === 4 ? 8 : 32, '0');
  return { bytes: Buffer.from(digits, 'hex'), family: parsed.family === 4 ? family.inet : family.inet6 };
}

function hardware(mac: string): Buffer {
  return Buffer.from(mac.replaceAll(':', ''), 'hex');
}

function text(value: string): Buffer {
  return Buffer.from(`${value}\0`);
}

function textOf(bytes: Buffer | undefined): string {
  return bytes ? bytes.toString('latin1', 0, Math.max(0, bytes.indexOf(0))) : '';
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value, 0);
  return bytes;
}

function u16BigEndian(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(value, 0);
  return bytes;
}

function u8(value: boolean): Buffer {
  return Buffer.from([value ? 1 : 0]);
}

function aligned(length: number): number {
  return (length + 3) & ~3;
}
