"""The batch lane: adapters of batch APIs, the journal of what was submitted, and the steps between them."""
