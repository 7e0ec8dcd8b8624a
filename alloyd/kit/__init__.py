"""Pure pieces that know none of alloyd's nouns."""
