"""How much of what others send is taken: the time and size of a reply, the length of a text, the pages of a listing."""
