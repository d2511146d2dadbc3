/** Indices of `count` images in the order they should come: near `from` first, ahead before behind. */
export function outwards(from: number, count: number): number[] {
  const order: number[] = []
  for (let step = 0; order.length < count && step < count + from + 1; step++) {
    if (from + step < count) order.push(from + step)
    if (step > 0 && from - step >= 0) order.push(from - step)
  }
  return order
}
