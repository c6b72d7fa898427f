# Dictionaries, classes, big integers, strings and json in Python. Usage: python3 loop.py N
import json
import sys

n = int(sys.argv[1])


class Guest:
    def __init__(self, number):
        self.number = number

    def turn(self, other):
        self.number = (self.number * 31 + other) % 65521
        return self.number


words = {}
for i in range(n):
    key = "k%d" % (i * 7919 % 1009)
    words[key] = words.get(key, 0) + i % 13
order = sorted(words, key=lambda key: (words[key], key))
guest = Guest(1)
for i in range(n):
    guest.turn(i)
big = 1
for i in range(1, n // 150):
    big *= i
text = json.dumps({key: [words[key], key * 2] for key in order})
back = json.loads(text)
total = sum(value[0] for value in back.values())
print("python3", n, total, guest.number, big.bit_length(), hash(tuple(order[:0])) == hash(()), order[0])
