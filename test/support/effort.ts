/**
 * How much a test that can be made longer does: `usual` in `npm test`, which people run often, `full`
 * in `npm run test:full`, which takes as long as the claims of the README need.
 */
export function effort(usual: number, full: number): number {
  return process.env['TEST_EFFORT'] === 'full' ? full : usual
}
