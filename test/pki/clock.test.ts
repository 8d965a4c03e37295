import { writeFileSync } from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { poll } from '../../src/lib/time.js';
import { TestNode, timedNode } from '../node/support/hamlet.js';

t.setTimeout(600_000);

const dayMs = 86_400_000;

interface Entry {
  readonly name: string;
  readonly serial: string;
  readonly notBefore: string;
}

/** A node whose certs worker's clock can be set; the components have the machine's. */
class MistimedNode {
  readonly node: TestNode;
  readonly #clock: string;

  constructor(node: TestNode) {
    this.node = node;
    this.#clock = path.join(node.folder, 'clock');
  }

  /** Puts the clock off by so many milliseconds. */
  set(offMs: number): void {
    writeFileSync(this.#clock, String(offMs));
  }

  start(): void {
    this.node.start({ TEST_CLOCK: this.#clock }, timedNode);
  }

  async certs(): Promise<ReadonlyMap<string, Entry>> {
    const { code, stdout, stderr } = await this.node.dbg(['certs', '-o', 'json']);
    if (code !== 0) throw new Error(stderr);
    return new Map((JSON.parse(stdout) as Entry[]).map((entry) => [entry.name, entry]));
  }

  async until<T>(what: string, look: () => Promise<T | undefined>): Promise<T> {
    return poll(() => look().catch(() => undefined), { everyMs: 500, timeoutMs: 180_000, what });
  }

  /** Waits until every certificate is valid by the machine's clock, and the node Ready with it. */
  async untilWell(what: string): Promise<ReadonlyMap<string, Entry>> {
    return this.until(what, async () => {
      const certs = await this.certs();
      const isEarly = [...certs.values()].some(({ notBefore }) => Date.parse(notBefore) > Date.now());
      const conditions = ['CertificatesValid', 'NodeReady', 'APIServerReady'];
      for (const condition of conditions) {
        if ((await this.node.dbg(['condition', condition])).code !== 0) return undefined;
      }
      // By the machine's clock, with a certificate that has just been issued.
      await this.node.kubectl(['get', '--raw', `/api/v1/nodes`]);
      return isEarly ? undefined : certs;
    });
  }
}

void t.test('what was issued by a clock that was ahead is issued anew when it is set back', async (t) => {
  const mistimed = new MistimedNode(await TestNode.create());
  const { node } = mistimed;
  t.teardown(() => node.remove());
  mistimed.set(0);
  mistimed.start();
  await node.ready();
  const first = await mistimed.certs();

  mistimed.set(70 * dayMs);
  const ahead = await mistimed.until('certificates of the future', async () => {
    const certs = await mistimed.certs();
    return certs.get('apiserver')?.serial === first.get('apiserver')?.serial ? undefined : certs;
  });
  t.ok(Date.parse(ahead.get('apiserver')?.notBefore ?? '') > Date.now(), 'nobody accepts them');
  mistimed.set(0);
  const last = await mistimed.untilWell('the node as it was');
  t.not(last.get('apiserver')?.serial, ahead.get('apiserver')?.serial);
  t.equal(last.get('id-ca')?.serial, first.get('id-ca')?.serial, 'the authorities are the same');
  const { stdout } = await node.dbg(['logs', 'hamlet.certs']);
  t.match(stdout, /the clock was ahead when it was issued/);
});

void t.test('a cluster that was made before the clock was set works when it is', async (t) => {
  const mistimed = new MistimedNode(await TestNode.create());
  const { node } = mistimed;
  t.teardown(() => node.remove());
  mistimed.set(3_600_000 - Date.now());
  mistimed.start();
  const first = await mistimed.until('certificates of 1970', async () => mistimed.certs());
  t.match(first.get('id-ca')?.notBefore, /^1970/);
  mistimed.set(0);
  const last = await mistimed.untilWell('a node');
  t.not(last.get('id-ca')?.serial, first.get('id-ca')?.serial);
  const { stdout } = await node.dbg(['logs', 'hamlet.certs']);
  t.match(stdout, /the clock had not been set when the authorities were issued/);
  await mistimed.until('the end of it', async () => {
    return (await node.dbg(['condition', 'AuthoritiesSettled'])).code === 0 || undefined;
  });
});
