"""The hot doors: the few requests that make up nearly all traffic, answered without the layers that they do not need.

Quart and Hypercorn serve everything, these included. What is taken here is answered the same, byte for byte, but for the
order of headers; it only costs less. What a request and its answer are is in `exchange`; nothing in it knows who carries
them.
"""
