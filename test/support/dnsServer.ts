import { createSocket } from 'node:dgram';
import { once } from 'node:events';

/** What a name leads to. Neither family: the name is there and has no addresses. */
export interface DnsRecord {
  readonly a?: readonly string[];
  readonly aaaa?: readonly string[];
  /** Another name of the table, whose addresses come along in the same answer. */
  readonly cname?: string;
  /** In place of an answer: 2 SERVFAIL, 3 NXDOMAIN, 5 REFUSED. */
  readonly rcode?: number;
  readonly delayMs?: number;
  /** Families (or both) for which no answer ever comes. */
  readonly silent?: readonly ('A' | 'AAAA')[];
}

/** A name server on loopback that says what the test wants; other names are NXDOMAIN. */
export interface DnsServer extends AsyncDisposable {
  /** As DNS_SERVERS takes it. */
  readonly address: string;
  /** Every question that came, as "name A" or "name AAAA". */
  readonly questions: readonly string[];
  /** What a name leads to from now on. */
  set(name: string, record: DnsRecord): void;
}

const typeA = 1;
const typeCname = 5;
const typeAaaa = 28;

export async function startDnsServer(
  records: Readonly<Record<string, DnsRecord>> = {},
): Promise<DnsServer> {
  const table = new Map(Object.entries(records));
  const questions: string[] = [];
  const delays = new Set<NodeJS.Timeout>();
  const socket = createSocket('udp4');
  socket.on('message', (message, sender) => {
    const question = readQuestion(message);
    const family = question.type === typeA ? 'A' : 'AAAA';
    questions.push(`${question.name} ${family}`);
    const record = table.get(question.name);
    if (record?.silent?.includes(family) === true) return;
    const reply = replyTo(message, question, record, table);
    const delay = setTimeout(() => {
      delays.delete(delay);
      socket.send(reply, sender.port, sender.address);
    }, record?.delayMs ?? 0);
    delays.add(delay);
  });
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  return {
    address: `127.0.0.1:${socket.address().port}`,
    questions,
    set: (name, record) => void table.set(name, record),
    async [Symbol.asyncDispose]() {
      for (const delay of delays) clearTimeout(delay);
      await new Promise<void>((resolve) => socket.close(resolve));
    },
  };
}

interface Question {
  readonly name: string;
  readonly type: number;
  /** Where it ends in the message. */
  readonly end: number;
}

function readQuestion(message: Buffer): Question {
  const labels: string[] = [];
  let at = 12;
  for (let length = message[at] ?? 0; length > 0; length = message[at] ?? 0) {
    labels.push(message.toString('latin1', at + 1, at + 1 + length));
    at += 1 + length;
  }
  return { name: labels.join('.').toLowerCase(), type: message.readUInt16BE(at + 1), end: at + 5 };
}

function replyTo(
  message: Buffer,
  { name, type, end }: Question,
  record: DnsRecord | undefined,
  table: ReadonlyMap<string, DnsRecord>,
): Buffer {
  const answers: Buffer[] = [];
  let owner = name;
  let last = record;
  while (last?.cname !== undefined) {
    answers.push(answer(owner, typeCname, encodeName(last.cname)));
    owner = last.cname;
    last = table.get(owner);
  }
  const addresses = (type === typeA ? last?.a : type === typeAaaa ? last?.aaaa : undefined) ?? [];
  for (const address of addresses) answers.push(answer(owner, type, encodeAddress(address)));
  const head = Buffer.alloc(12);
  message.copy(head, 0, 0, 2);
  head.writeUInt16BE(0x8180 | (last === undefined ? 3 : (last.rcode ?? 0)), 2);
  head.writeUInt16BE(1, 4);
  head.writeUInt16BE(answers.length, 6);
  return Buffer.concat([head, message.subarray(12, end), ...answers]);
}

function answer(name: string, type: number, data: Buffer): Buffer {
  const fixed = Buffer.alloc(10);
  fixed.writeUInt16BE(type, 0);
  fixed.writeUInt16BE(1, 2);
  fixed.writeUInt16BE(data.length, 8);
  return Buffer.concat([encodeName(name), fixed, data]);
}

function encodeName(name: string): Buffer {
  const labels = name.split('.').map((label) => [Buffer.from([label.length]), Buffer.from(label)]);
  return Buffer.concat([...labels.flat(), Buffer.from([0])]);
}

function encodeAddress(address: string): Buffer {
  if (!address.includes(':')) return Buffer.from(address.split('.').map(Number));
  const [head = '', tail = ''] = new URL(`http://[${address}]/`).hostname.slice(1, -1).split('::');
  const read = (text: string) => text.split(':').filter(Boolean);
  const [before, after] = [read(head), read(tail)];
  const zeros = Array.from({ length: 8 - before.length - after.length }, () => '0');
  const groups = [...before, ...zeros, ...after].map((group) => group.padStart(4, '0'));
  return Buffer.from(groups.join(''), 'hex');
}
