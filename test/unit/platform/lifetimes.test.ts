import t from 'tap';
import { parseConfig } from '../../../src/platform/config.js';

const lifetimes = (pki: object) => parseConfig({ pki }, 'config.yaml').pki;

void t.test('lifetimes have sound defaults and can be set', async (t) => {
  const hourMs = 3_600_000;
  t.same(lifetimes({}), {
    authorityMs: 3_650 * 24 * hourMs,
    leafMs: 90 * 24 * hourMs,
    debugMs: hourMs,
    debugMaxMs: 24 * hourMs,
    secretsKeyMs: 90 * 24 * hourMs,
    renewAfterShare: 2 / 3,
  });
  t.match(lifetimes({ caTtl: '2h', leafTtl: '20m', debugTtl: '30s' }), {
    authorityMs: 2 * hourMs,
    leafMs: 1_200_000,
    debugMs: 30_000,
  });
});

void t.test('what makes no sense is refused by its name', async (t) => {
  for (const [settings, message] of [
    [{ leafTtl: '90' }, /pki\.leafTtl: has to be a duration/],
    [{ leafTtl: '0d' }, /pki\.leafTtl/],
    [{ leafTtl: '1199s' }, /leafTtl has to be 20m at least: .* every five minutes/],
    [{ caTtl: '100d' }, /caTtl has to be twice leafTtl at least/],
    [{ debugTtlMax: '25h' }, /debugTtlMax has to be 24h at most/],
    [{ debugTtl: '3h', debugTtlMax: '2h' }, /debugTtl is longer than debugTtlMax/],
    [{ secretsKeyTtl: '59m' }, /secretsKeyTtl has to be 1h at least/],
    [{ leafDays: 9 }, /pki\.leafDays/],
  ] as const) {
    t.throws(() => lifetimes(settings), { code: 'INVALID_ARGUMENT', message });
  }
});
