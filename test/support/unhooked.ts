/**
 * How to start a program that is not to be watched: the suite's runner hooks into every Node process that
 * is started here, and the compiler does not start with its hooks, nor does a confined process.
 */
export function unhooked(
  program: string,
  args: readonly string[],
  nodeOptions = ''
): readonly [string, string[]] {
  return ['env', [`NODE_OPTIONS=${nodeOptions}`, program, ...args]]
}
