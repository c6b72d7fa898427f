# Arithmetic, strings, functions, subshells and command substitution in the shell. Usage: sh loop.sh N
n=$1 i=0 sum=0 text=""
step() { sum=$(((sum * 31 + $1) % 65521)); }
while [ $i -lt "$n" ]; do
    step $i
    case $i in *7) text="${text#??}ab" ;; *) text="${text}c" ;; esac
    [ ${#text} -gt 40 ] && text=${text%????????????????????}
    i=$((i + 1))
done
i=0
while [ $i -lt $((n / 1000)) ]; do
    sum=$((sum + $(echo $i)))
    i=$((i + 1))
done
echo "shell $n $sum $text"
