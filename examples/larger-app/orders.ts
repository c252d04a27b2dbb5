/** What the app is about: orders, by the e-mail address of who made them. */
export class Orders {
  readonly #orders = new Map<string, string[]>()

  of (email: string): readonly string[] {
    return this.#orders.get(email) ?? []
  }

  add (email: string, item: string): number {
    const orders = [...this.of(email), item]
    this.#orders.set(email, orders)
    return orders.length
  }
}
