import t from 'tap';
import { planPlaces } from '../../../src/host/endpoints.js';

const [a, b, c] = [{ name: 'a' }, { name: 'b' }, { name: 'c' }];

void t.test('who has which slot, and who may call whom', async (t) => {
  const places = planPlaces([
    { name: 'main', serves: [a], calls: [b, c] },
    { name: 'both', serves: [b, c], calls: [a] },
    { name: 'loner', serves: [] },
  ]);
  t.match(places, [
    {
      name: 'main',
      slot: 1,
      welcome: { names: ['router', 'main', 'both', 'loner'], routes: { b: 2, c: 2 }, callers: { a: [2] } },
      mayCall: [false, false, true, false],
      mayReach: [false, false, true, false],
    },
    { name: 'both', slot: 2, welcome: { routes: { a: 1 }, callers: { b: [1], c: [1] } } },
    { name: 'loner', slot: 3, welcome: { routes: {}, callers: {} }, mayReach: [false, false, false, false] },
  ]);
});

void t.test('declarations that do not fit together', async (t) => {
  const refused = (message: RegExp, ...endpoints: Parameters<typeof planPlaces>[0]) => {
    t.throws(() => planPlaces(endpoints), { code: 'INVALID_ARGUMENT', message });
  };
  refused(/called x/, { name: 'x' }, { name: 'x' });
  refused(/called router/, { name: 'router' });
  refused(/serve a/, { name: 'x', serves: [a] }, { name: 'y', serves: [a] });
  refused(/x calls a, which nobody serves/, { name: 'x', calls: [a] });
  refused(/too many/, ...Array.from({ length: 256 }, (_, index) => ({ name: `x${index}` })));
});
